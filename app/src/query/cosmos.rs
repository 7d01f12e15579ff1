//! The queries of Cosmos clients: accounts and balances.

use capstan_genesis::{Address, Amount, DENOM};
use capstan_store::StateView;
use cosmrs::{
    Any,
    proto::cosmos::{
        auth::v1beta1::{BaseAccount, QueryAccountRequest, QueryAccountResponse},
        bank::v1beta1::{
            QueryAllBalancesRequest, QueryAllBalancesResponse, QueryBalanceRequest,
            QueryBalanceResponse,
        },
        base::v1beta1::Coin,
    },
};
use prost::{Message, Name};

use super::{
    QueryError, Reply,
    args::{malformed, parse},
};
use crate::records::{account, keys};

/// Answers the Cosmos query at `path`. Returns `None` if the path is unknown.
pub(super) fn reply(
    state: &StateView,
    path: &str,
    data: &[u8],
) -> Result<Option<Reply>, QueryError> {
    let reply = match path {
        "/cosmos.auth.v1beta1.Query/Account" => {
            account(state, parse(&decode::<QueryAccountRequest>(data)?.address)?)?
        }
        "/cosmos.bank.v1beta1.Query/Balance" => {
            let request: QueryBalanceRequest = decode(data)?;
            balance(state, parse(&request.address)?, &request.denom)?
        }
        "/cosmos.bank.v1beta1.Query/AllBalances" => {
            all_balances(state, parse(&decode::<QueryAllBalancesRequest>(data)?.address)?)?
        }
        _ => return Ok(None),
    };
    Ok(Some(reply))
}

fn decode<M: Message + Default>(data: &[u8]) -> Result<M, QueryError> {
    M::decode(data)
        .map_err(|e| malformed(format!("the request is not protobuf of the right type: {e}")))
}

fn account(state: &StateView, address: Address) -> Result<Reply, QueryError> {
    let account = account::get(state, address)?;
    let account = account.ok_or_else(|| QueryError::not_found("account", address))?;
    let base = BaseAccount {
        address: address.to_string(),
        pub_key: account.public_key.map(|key| key.to_any()),
        account_number: account.number,
        sequence: account.sequence,
    };
    let account = Any { type_url: BaseAccount::type_url(), value: base.encode_to_vec() };
    let value = QueryAccountResponse { account: Some(account) }.encode_to_vec();
    Ok(Reply { value, key: Some(keys::account(address)) })
}

fn balance(state: &StateView, address: Address, denom: &str) -> Result<Reply, QueryError> {
    let amount = if denom == DENOM { owned(state, address)? } else { Amount(0) };
    let balance = Coin { denom: denom.to_owned(), amount: amount.to_string() };
    let value = QueryBalanceResponse { balance: Some(balance) }.encode_to_vec();
    Ok(Reply { value, key: Some(keys::account(address)) })
}

fn all_balances(state: &StateView, address: Address) -> Result<Reply, QueryError> {
    let amount = owned(state, address)?;
    let coin = Coin { denom: DENOM.to_owned(), amount: amount.to_string() };
    let balances = if amount == Amount(0) { Vec::new() } else { vec![coin] };
    let value = QueryAllBalancesResponse { balances, pagination: None }.encode_to_vec();
    Ok(Reply { value, key: Some(keys::account(address)) })
}

/// Returns the balance of `address`. An address without an account has 0, as in the Cosmos SDK.
fn owned(state: &StateView, address: Address) -> Result<Amount, QueryError> {
    Ok(account::get(state, address)?.map_or(Amount(0), |account| account.balance))
}
