//! The queries of Cosmos clients about the state.
//!
//! A query is added by a line of [`METHODS`] and a function. Blocks and transactions are not the application's: the
//! node answers what is about them.

mod auth;
mod bank;
mod gov;
mod page;
mod tx;

use prost::Message;

use super::{QueryError, QueryServer, Reply, args::malformed};

/// A function that answers an encoded request.
type Run = fn(&QueryServer<'_>, &[u8]) -> Result<Reply, QueryError>;

/// A response, and the key of the one record that it is about.
struct About<M>(M, Option<Vec<u8>>);

/// Result of the function that answers a query.
type Answered<M> = Result<About<M>, QueryError>;

/// The queries by their paths.
const METHODS: &[(&str, Run)] = &[
    ("/cosmos.auth.v1beta1.Query/Account", |s, r| run(s, r, auth::account)),
    ("/cosmos.auth.v1beta1.Query/Accounts", |s, r| run(s, r, auth::accounts)),
    ("/cosmos.auth.v1beta1.Query/AccountInfo", |s, r| run(s, r, auth::account_info)),
    ("/cosmos.auth.v1beta1.Query/Params", |s, r| run(s, r, auth::params)),
    ("/cosmos.auth.v1beta1.Query/ModuleAccounts", |s, r| run(s, r, auth::module_accounts)),
    ("/cosmos.auth.v1beta1.Query/Bech32Prefix", |s, r| run(s, r, auth::prefix)),
    ("/cosmos.auth.v1beta1.Query/AddressBytesToString", |s, r| run(s, r, auth::address_text)),
    ("/cosmos.auth.v1beta1.Query/AddressStringToBytes", |s, r| run(s, r, auth::address_bytes)),
    ("/cosmos.bank.v1beta1.Query/Balance", |s, r| run(s, r, bank::balance)),
    ("/cosmos.bank.v1beta1.Query/AllBalances", |s, r| run(s, r, bank::all_balances)),
    ("/cosmos.bank.v1beta1.Query/SpendableBalances", |s, r| run(s, r, bank::spendable)),
    ("/cosmos.bank.v1beta1.Query/SpendableBalanceByDenom", |s, r| {
        run(s, r, bank::spendable_by_denom)
    }),
    ("/cosmos.bank.v1beta1.Query/TotalSupply", |s, r| run(s, r, bank::total_supply)),
    ("/cosmos.bank.v1beta1.Query/SupplyOf", |s, r| run(s, r, bank::supply_of)),
    ("/cosmos.bank.v1beta1.Query/Params", |s, r| run(s, r, bank::params)),
    ("/cosmos.bank.v1beta1.Query/SendEnabled", |s, r| run(s, r, bank::send_enabled)),
    ("/cosmos.bank.v1beta1.Query/DenomMetadata", |s, r| run(s, r, bank::metadata)),
    ("/cosmos.bank.v1beta1.Query/DenomsMetadata", |s, r| run(s, r, bank::all_metadata)),
    ("/cosmos.bank.v1beta1.Query/DenomOwners", |s, r| run(s, r, bank::owners)),
    ("/cosmos.base.node.v1beta1.Service/Config", |s, r| run(s, r, tx::config)),
    ("/cosmos.tx.v1beta1.Service/Simulate", |s, r| run(s, r, tx::simulate)),
    ("/cosmos.gov.v1.Query/Proposals", |s, r| run(s, r, gov::proposals)),
    ("/cosmos.gov.v1beta1.Query/Proposals", |s, r| run(s, r, gov::proposals_v1beta1)),
];

/// Answers the query at `path`. Returns `None` if there is none.
pub(super) fn reply(
    server: &QueryServer<'_>,
    path: &str,
    data: &[u8],
) -> Result<Option<Reply>, QueryError> {
    let found = METHODS.iter().find(|(known, _)| *known == path);
    found.map(|(_, run)| run(server, data)).transpose()
}

fn run<Q: Message + Default, A: Message>(
    server: &QueryServer<'_>,
    data: &[u8],
    answer: fn(&QueryServer<'_>, Q) -> Answered<A>,
) -> Result<Reply, QueryError> {
    let request = Q::decode(data)
        .map_err(|e| malformed(format!("the request is not protobuf of the right type: {e}")))?;
    let About(message, key) = answer(server, request)?;
    Ok(Reply { value: message.encode_to_vec(), key })
}
