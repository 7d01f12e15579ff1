//! Governance, which explorers ask for. The chain has none, so its lists are empty.

use cosmrs::proto::cosmos::gov::{v1, v1beta1};

use super::{About, Answered};
use crate::query::QueryServer;

pub(super) fn proposals(
    _: &QueryServer<'_>,
    _: v1::QueryProposalsRequest,
) -> Answered<v1::QueryProposalsResponse> {
    Ok(About(v1::QueryProposalsResponse::default(), None))
}

pub(super) fn proposals_v1beta1(
    _: &QueryServer<'_>,
    _: v1beta1::QueryProposalsRequest,
) -> Answered<v1beta1::QueryProposalsResponse> {
    Ok(About(v1beta1::QueryProposalsResponse::default(), None))
}
