//! Gas: what a transaction uses, and its price.

use cosmrs::proto::cosmos::{
    base::{
        abci::v1beta1::{GasInfo, Result as Simulated},
        node::v1beta1::{ConfigRequest, ConfigResponse},
    },
    tx::v1beta1::{SimulateRequest, SimulateResponse, TxRaw},
};
use prost::Message as _;

use super::{About, Answered};
use crate::{
    query::{QueryError, QueryServer, args::malformed},
    records::{account, chain::Chain},
    tx::{Tx, TxError},
};

/// Tells the gas that a transaction would use. It checks the transaction except for its fee and its signature, and executes
/// nothing.
pub(super) fn simulate(
    server: &QueryServer<'_>,
    request: SimulateRequest,
) -> Answered<SimulateResponse> {
    let chain = Chain::load(server.state)?.ok_or_else(|| QueryError::not_found("chain", "yet"))?;
    let refused = |error: TxError| malformed(error.to_string());
    let (size, limit) = (request.encoded_len(), chain.params.max_tx_bytes);
    if size as u64 > limit {
        return Err(refused(TxError::TooLarge { size, limit }));
    }
    let bytes = bytes(request)?;
    let tx = Tx::decode_unsigned(&bytes, &chain.params).map_err(refused)?;
    let account = account::get(server.state, tx.signer)?;
    let account = account.ok_or_else(|| QueryError::not_found("account", tx.signer))?;
    if tx.sequence != account.sequence {
        return Err(refused(TxError::Sequence { expected: account.sequence, got: tx.sequence }));
    }
    let gas_used = chain.params.fees.gas(&tx.size());
    let gas_info = GasInfo { gas_wanted: tx.gas_limit, gas_used };
    let response =
        SimulateResponse { gas_info: Some(gas_info), result: Some(Simulated::default()) };
    Ok(About(response, None))
}

/// Tells the lowest price of gas. Only the last state is kept.
pub(super) fn config(server: &QueryServer<'_>, _: ConfigRequest) -> Answered<ConfigResponse> {
    let chain = Chain::load(server.state)?.ok_or_else(|| QueryError::not_found("chain", "yet"))?;
    let response = ConfigResponse {
        minimum_gas_price: chain.params.fees.min_gas_price(),
        pruning_keep_recent: "1".to_owned(),
        pruning_interval: "1".to_owned(),
        halt_height: 0,
    };
    Ok(About(response, None))
}

/// Returns the bytes of the transaction, which old clients send in parts.
fn bytes(request: SimulateRequest) -> Result<Vec<u8>, QueryError> {
    #[allow(deprecated)]
    let tx = request.tx;
    match (request.tx_bytes.is_empty(), tx) {
        (false, _) => Ok(request.tx_bytes),
        (true, Some(tx)) => {
            let raw = TxRaw {
                body_bytes: tx.body.unwrap_or_default().encode_to_vec(),
                auth_info_bytes: tx.auth_info.unwrap_or_default().encode_to_vec(),
                signatures: tx.signatures,
            };
            Ok(raw.encode_to_vec())
        }
        (true, None) => Err(malformed("there is no transaction in the request".to_owned())),
    }
}
