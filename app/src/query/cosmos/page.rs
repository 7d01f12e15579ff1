//! Pages of accounts, as Cosmos clients ask for them.

use capstan_genesis::Address;
use capstan_kernel_ports::store::Read as _;
use cosmrs::proto::cosmos::base::query::v1beta1::{PageRequest, PageResponse};

use super::super::{QueryServer, args::malformed, page::MAX_LIMIT};
use crate::{
    query::QueryError,
    records::{account::Account, keys, record},
};

/// Number of entries in a page if the request does not bound it.
const DEFAULT_LIMIT: usize = 100;

/// An account with its address.
pub(super) type Found = (Address, Account);

impl QueryServer<'_> {
    /// Returns a page of accounts in the order of their addresses' texts, and the response about the page. `next_key` is
    /// the address after which the next page begins.
    pub(super) fn accounts(
        &self,
        request: Option<PageRequest>,
    ) -> Result<(Vec<Found>, PageResponse), QueryError> {
        let request = request.unwrap_or_default();
        if request.offset != 0 || request.reverse {
            let text = "pages of accounts begin after a key, and have no offset and no reverse";
            return Err(malformed(text.to_owned()));
        }
        let limit = match usize::try_from(request.limit).unwrap_or(usize::MAX) {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        };
        let prefix = keys::accounts();
        let mut after = [prefix.as_slice(), &request.key].concat();
        let (mut found, mut next_key) = (Vec::new(), Vec::new());
        while let Some((key, value)) = self.state.next_after(&prefix, &after)? {
            if found.len() == limit {
                next_key = after[prefix.len()..].to_vec();
                break;
            }
            let address = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            let address = address.parse().map_err(|e| QueryError::Node(format!("{e}")))?;
            found.push((address, record::decode(&key, &value)?));
            after = key;
        }
        let total = match request.count_total {
            // Accounts are never removed, so the next number is how many there are.
            true => record::get(self.state, keys::NEXT_ACCOUNT)?.unwrap_or(0),
            false => 0,
        };
        Ok((found, PageResponse { next_key, total }))
    }
}
