//! Accounts and addresses.

use capstan_genesis::{ADDRESS_PREFIX, Address};
use cosmrs::{
    Any,
    proto::cosmos::auth::v1beta1::{
        AddressBytesToStringRequest, AddressBytesToStringResponse, AddressStringToBytesRequest,
        AddressStringToBytesResponse, BaseAccount, Bech32PrefixRequest, Bech32PrefixResponse,
        Params, QueryAccountInfoRequest, QueryAccountInfoResponse, QueryAccountRequest,
        QueryAccountResponse, QueryAccountsRequest, QueryAccountsResponse,
        QueryModuleAccountsRequest, QueryModuleAccountsResponse, QueryParamsRequest,
        QueryParamsResponse,
    },
};
use prost::{Message as _, Name as _};

use super::{About, Answered};
use crate::{
    query::{
        QueryError, QueryServer,
        args::{malformed, parse},
    },
    records::{
        account::{self, Account},
        chain::Chain,
        keys,
    },
    tx::MAX_MULTISIG_KEYS,
};

pub(super) fn account(
    server: &QueryServer<'_>,
    request: QueryAccountRequest,
) -> Answered<QueryAccountResponse> {
    let (address, account) = existing(server, &request.address)?;
    let account = Some(as_any(address, &account));
    Ok(About(QueryAccountResponse { account }, Some(keys::account(address))))
}

pub(super) fn account_info(
    server: &QueryServer<'_>,
    request: QueryAccountInfoRequest,
) -> Answered<QueryAccountInfoResponse> {
    let (address, account) = existing(server, &request.address)?;
    let info = Some(base(address, &account));
    Ok(About(QueryAccountInfoResponse { info }, Some(keys::account(address))))
}

pub(super) fn accounts(
    server: &QueryServer<'_>,
    request: QueryAccountsRequest,
) -> Answered<QueryAccountsResponse> {
    let (found, page) = server.accounts(request.pagination)?;
    let accounts = found.iter().map(|(address, account)| as_any(*address, account)).collect();
    Ok(About(QueryAccountsResponse { accounts, pagination: Some(page) }, None))
}

pub(super) fn params(
    server: &QueryServer<'_>,
    _: QueryParamsRequest,
) -> Answered<QueryParamsResponse> {
    let params = Chain::load(server.state)?;
    let params = params.ok_or_else(|| QueryError::not_found("chain", "yet"))?.params;
    let params = Params {
        max_memo_characters: params.max_memo_bytes.into(),
        // That of a multisig's members.
        tx_sig_limit: MAX_MULTISIG_KEYS as u64,
        tx_size_cost_per_byte: params.fees.byte_gas,
        // No account has such a key.
        sig_verify_cost_ed25519: 0,
        sig_verify_cost_secp256k1: params.fees.signature_gas,
    };
    Ok(About(QueryParamsResponse { params: Some(params) }, None))
}

/// Returns none, since the chain has no modules that own accounts.
pub(super) fn module_accounts(
    _: &QueryServer<'_>,
    _: QueryModuleAccountsRequest,
) -> Answered<QueryModuleAccountsResponse> {
    Ok(About(QueryModuleAccountsResponse::default(), None))
}

pub(super) fn prefix(
    _: &QueryServer<'_>,
    _: Bech32PrefixRequest,
) -> Answered<Bech32PrefixResponse> {
    Ok(About(Bech32PrefixResponse { bech32_prefix: ADDRESS_PREFIX.to_owned() }, None))
}

pub(super) fn address_text(
    _: &QueryServer<'_>,
    request: AddressBytesToStringRequest,
) -> Answered<AddressBytesToStringResponse> {
    let bytes: [u8; 20] = request
        .address_bytes
        .try_into()
        .map_err(|_| malformed("an address of this chain has 20 bytes".to_owned()))?;
    let address_string = Address(bytes).to_string();
    Ok(About(AddressBytesToStringResponse { address_string }, None))
}

pub(super) fn address_bytes(
    _: &QueryServer<'_>,
    request: AddressStringToBytesRequest,
) -> Answered<AddressStringToBytesResponse> {
    let address: Address = parse(&request.address_string)?;
    Ok(About(AddressStringToBytesResponse { address_bytes: address.0.to_vec() }, None))
}

fn existing(server: &QueryServer<'_>, address: &str) -> Result<(Address, Account), QueryError> {
    let address = parse(address)?;
    let account = account::get(server.state, address)?;
    Ok((address, account.ok_or_else(|| QueryError::not_found("account", address))?))
}

fn as_any(address: Address, account: &Account) -> Any {
    Any { type_url: BaseAccount::type_url(), value: base(address, account).encode_to_vec() }
}

fn base(address: Address, account: &Account) -> BaseAccount {
    let pub_key = account.public_key.as_ref().map(|key| key.to_any());
    BaseAccount {
        address: address.to_string(),
        pub_key,
        account_number: account.number,
        sequence: account.sequence,
    }
}
