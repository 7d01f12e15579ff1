//! Error texts for a transaction that failed, or that may still come through.

use capstan_client::{Address, ClientError, DENOM, ErrorCode, Wallet};

/// Says what happened to a transaction that nobody waits for any more.
pub(super) fn went_on(hash: &str) -> String {
    format!(
        "transaction {hash} was sent and may still come through: `capstan query tx {hash}` tells whether it did"
    )
}

/// Names the transaction that was sent, if the error leaves open what became of it.
pub(super) fn with_hash(error: anyhow::Error, wallet: &Wallet) -> anyhow::Error {
    let open = matches!(
        error.downcast_ref::<ClientError>(),
        Some(
            ClientError::Timeout { .. }
                | ClientError::Unreachable { .. }
                | ClientError::Malformed { .. }
                | ClientError::Closed { .. }
        )
    );
    match wallet.last_sent().filter(|_| open) {
        Some(hash) => error.context(went_on(&hash.to_string())),
        None => error,
    }
}

/// Says what a newcomer must know about an account that is not there yet.
pub(crate) fn explain(error: anyhow::Error, address: &Address, name: &str) -> anyhow::Error {
    let code = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Query { path, code, .. })
            if path.ends_with("/Account") || path.starts_with("accounts/") =>
        {
            *code
        }
        _ => return error,
    };
    if code != ErrorCode::NotFound.number() {
        return error;
    }
    error.context(format!(
        "the account of {name} does not exist yet; it begins with its first coins, as in `capstan tx transfer {address} 1000000{DENOM} --from alice`"
    ))
}
