//! Balances, and the chain's one coin.

use capstan_genesis::{Address, Amount, DENOM};
use cosmrs::proto::cosmos::{
    bank::v1beta1::{
        DenomOwner, DenomUnit, Metadata, Params, QueryAllBalancesRequest, QueryAllBalancesResponse,
        QueryBalanceRequest, QueryBalanceResponse, QueryDenomMetadataRequest,
        QueryDenomMetadataResponse, QueryDenomOwnersRequest, QueryDenomOwnersResponse,
        QueryDenomsMetadataRequest, QueryDenomsMetadataResponse, QueryParamsRequest,
        QueryParamsResponse, QuerySendEnabledRequest, QuerySendEnabledResponse,
        QuerySpendableBalanceByDenomRequest, QuerySpendableBalanceByDenomResponse,
        QuerySpendableBalancesRequest, QuerySpendableBalancesResponse, QuerySupplyOfRequest,
        QuerySupplyOfResponse, QueryTotalSupplyRequest, QueryTotalSupplyResponse, SendEnabled,
    },
    base::{query::v1beta1::PageResponse, v1beta1::Coin},
};

use super::{About, Answered};
use crate::{
    query::{QueryError, QueryServer, args::parse},
    records::{account, keys},
};

pub(super) fn balance(
    server: &QueryServer<'_>,
    request: QueryBalanceRequest,
) -> Answered<QueryBalanceResponse> {
    let (balance, key) = balance_of(server, &request.address, &request.denom)?;
    Ok(About(QueryBalanceResponse { balance: Some(balance) }, Some(key)))
}

/// Returns the whole balance, since no coin of an account is locked.
pub(super) fn spendable_by_denom(
    server: &QueryServer<'_>,
    request: QuerySpendableBalanceByDenomRequest,
) -> Answered<QuerySpendableBalanceByDenomResponse> {
    let (balance, key) = balance_of(server, &request.address, &request.denom)?;
    Ok(About(QuerySpendableBalanceByDenomResponse { balance: Some(balance) }, Some(key)))
}

pub(super) fn all_balances(
    server: &QueryServer<'_>,
    request: QueryAllBalancesRequest,
) -> Answered<QueryAllBalancesResponse> {
    let (balances, key) = balances_of(server, &request.address)?;
    let pagination = Some(whole(&balances));
    Ok(About(QueryAllBalancesResponse { balances, pagination }, Some(key)))
}

/// Returns all balances, since no coin of an account is locked.
pub(super) fn spendable(
    server: &QueryServer<'_>,
    request: QuerySpendableBalancesRequest,
) -> Answered<QuerySpendableBalancesResponse> {
    let (balances, key) = balances_of(server, &request.address)?;
    let pagination = Some(whole(&balances));
    Ok(About(QuerySpendableBalancesResponse { balances, pagination }, Some(key)))
}

pub(super) fn total_supply(
    server: &QueryServer<'_>,
    _: QueryTotalSupplyRequest,
) -> Answered<QueryTotalSupplyResponse> {
    let supply = vec![coin(account::supply(server.state)?)];
    let pagination = Some(whole(&supply));
    Ok(About(QueryTotalSupplyResponse { supply, pagination }, Some(keys::SUPPLY.to_vec())))
}

pub(super) fn supply_of(
    server: &QueryServer<'_>,
    request: QuerySupplyOfRequest,
) -> Answered<QuerySupplyOfResponse> {
    let is_ours = request.denom == DENOM;
    let amount = if is_ours { account::supply(server.state)? } else { Amount(0) };
    let amount = Coin { denom: request.denom, amount: amount.to_string() };
    Ok(About(
        QuerySupplyOfResponse { amount: Some(amount) },
        is_ours.then(|| keys::SUPPLY.to_vec()),
    ))
}

pub(super) fn params(_: &QueryServer<'_>, _: QueryParamsRequest) -> Answered<QueryParamsResponse> {
    let params = Params { default_send_enabled: true, ..Params::default() };
    Ok(About(QueryParamsResponse { params: Some(params) }, None))
}

pub(super) fn send_enabled(
    _: &QueryServer<'_>,
    request: QuerySendEnabledRequest,
) -> Answered<QuerySendEnabledResponse> {
    let is_asked = request.denoms.is_empty() || request.denoms.iter().any(|denom| denom == DENOM);
    let enabled = SendEnabled { denom: DENOM.to_owned(), enabled: true };
    let send_enabled = if is_asked { vec![enabled] } else { Vec::new() };
    let pagination = Some(whole(&send_enabled));
    Ok(About(QuerySendEnabledResponse { send_enabled, pagination }, None))
}

pub(super) fn metadata(
    _: &QueryServer<'_>,
    request: QueryDenomMetadataRequest,
) -> Answered<QueryDenomMetadataResponse> {
    match request.denom == DENOM {
        true => Ok(About(QueryDenomMetadataResponse { metadata: Some(coin_metadata()) }, None)),
        false => Err(QueryError::not_found("client metadata for denom", request.denom)),
    }
}

pub(super) fn all_metadata(
    _: &QueryServer<'_>,
    _: QueryDenomsMetadataRequest,
) -> Answered<QueryDenomsMetadataResponse> {
    let metadatas = vec![coin_metadata()];
    let pagination = Some(whole(&metadatas));
    Ok(About(QueryDenomsMetadataResponse { metadatas, pagination }, None))
}

/// Lists accounts with their balances. Accounts with none are left out, so a page may be shorter than asked for.
pub(super) fn owners(
    server: &QueryServer<'_>,
    request: QueryDenomOwnersRequest,
) -> Answered<QueryDenomOwnersResponse> {
    if request.denom != DENOM {
        return Ok(About(QueryDenomOwnersResponse::default(), None));
    }
    let (found, mut page) = server.accounts(request.pagination)?;
    // The number of accounts is not that of owners.
    page.total = 0;
    let owners = found.into_iter().filter(|(_, account)| account.balance != Amount(0));
    let owners = owners.map(|(address, account)| DenomOwner {
        address: address.to_string(),
        balance: Some(coin(account.balance)),
    });
    let denom_owners = owners.collect();
    Ok(About(QueryDenomOwnersResponse { denom_owners, pagination: Some(page) }, None))
}

fn balance_of(
    server: &QueryServer<'_>,
    address: &str,
    denom: &str,
) -> Result<(Coin, Vec<u8>), QueryError> {
    let address = parse(address)?;
    let amount = if denom == DENOM { owned(server, address)? } else { Amount(0) };
    let balance = Coin { denom: denom.to_owned(), amount: amount.to_string() };
    Ok((balance, keys::account(address)))
}

fn balances_of(
    server: &QueryServer<'_>,
    address: &str,
) -> Result<(Vec<Coin>, Vec<u8>), QueryError> {
    let address = parse(address)?;
    let amount = owned(server, address)?;
    let balances = if amount == Amount(0) { Vec::new() } else { vec![coin(amount)] };
    Ok((balances, keys::account(address)))
}

/// Returns the balance of `address`. An address without an account has 0, as in the Cosmos SDK.
fn owned(server: &QueryServer<'_>, address: Address) -> Result<Amount, QueryError> {
    Ok(account::get(server.state, address)?.map_or(Amount(0), |account| account.balance))
}

fn coin(amount: Amount) -> Coin {
    Coin { denom: DENOM.to_owned(), amount: amount.to_string() }
}

fn coin_metadata() -> Metadata {
    let unit = DenomUnit { denom: DENOM.to_owned(), exponent: 0, aliases: Vec::new() };
    Metadata {
        description: "The coin of the chain.".to_owned(),
        denom_units: vec![unit],
        base: DENOM.to_owned(),
        display: DENOM.to_owned(),
        name: DENOM.to_owned(),
        symbol: DENOM.to_uppercase(),
        ..Metadata::default()
    }
}

/// Returns what stands with a list that is whole.
fn whole<T>(list: &[T]) -> PageResponse {
    PageResponse { next_key: Vec::new(), total: list.len() as u64 }
}
