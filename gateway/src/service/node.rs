//! The node itself, and queries of the application by their paths.

use cosmrs::proto::cosmos::base::node::v1beta1::{StatusRequest, StatusResponse};
use cosmrs::proto::cosmos::base::tendermint::v1beta1::{
    AbciQueryRequest, AbciQueryResponse, GetNodeInfoRequest, GetNodeInfoResponse,
    GetSyncingRequest, GetSyncingResponse, ProofOp, ProofOps, VersionInfo,
};
use serde_json::json;
use tendermint_proto::v0_38::abci::RequestQuery;
use tendermint_proto::v0_38::p2p::{DefaultNodeInfo, DefaultNodeInfoOther, ProtocolVersion};
use tendermint_rpc::endpoint;
use tonic::Status;

use super::blocks;
use crate::node::Node;
use crate::rpc;

pub(super) fn info(node: &Node, _: GetNodeInfoRequest) -> Result<GetNodeInfoResponse, Status> {
    let info = rpc::call::<endpoint::status::Response>(node, "status", json!({}))?.node_info;
    let versions = ProtocolVersion {
        p2p: info.protocol_version.p2p,
        block: info.protocol_version.block,
        app: info.protocol_version.app,
    };
    let other = DefaultNodeInfoOther {
        tx_index: format!("{:?}", info.other.tx_index).to_lowercase(),
        rpc_address: info.other.rpc_address.clone(),
    };
    let default_node_info = DefaultNodeInfo {
        protocol_version: Some(versions),
        default_node_id: info.id.to_string().to_lowercase(),
        listen_addr: info.listen_addr.to_string(),
        network: info.network.to_string(),
        version: info.version.to_string(),
        channels: hex::decode(info.channels.to_string()).unwrap_or_default(),
        moniker: info.moniker.to_string(),
        other: Some(other),
    };
    // Fields about Go and the Cosmos SDK stay empty, since neither is there.
    let application_version = VersionInfo {
        name: "capstan".to_owned(),
        app_name: "capstan".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..VersionInfo::default()
    };
    Ok(GetNodeInfoResponse {
        default_node_info: Some(default_node_info),
        application_version: Some(application_version),
    })
}

pub(super) fn syncing(node: &Node, _: GetSyncingRequest) -> Result<GetSyncingResponse, Status> {
    let status: endpoint::status::Response = rpc::call(node, "status", json!({}))?;
    Ok(GetSyncingResponse { syncing: status.sync_info.catching_up })
}

pub(super) fn status(node: &Node, _: StatusRequest) -> Result<StatusResponse, Status> {
    let (_, block) = blocks::block(node, 0)?;
    let header = block.header.ok_or_else(|| Status::internal("the block has no header"))?;
    let height = u64::try_from(header.height).unwrap_or(0);
    Ok(StatusResponse {
        // Only the last state can be asked for.
        earliest_store_height: height,
        height,
        timestamp: header.time,
        app_hash: header.app_hash,
        validator_hash: header.next_validators_hash,
    })
}

pub(super) fn abci_query(
    node: &Node,
    request: AbciQueryRequest,
) -> Result<AbciQueryResponse, Status> {
    let AbciQueryRequest { data, path, height, prove } = request;
    let answer = (node.query)(RequestQuery { data: data.into(), path, height, prove });
    let op = |op: tendermint_proto::v0_38::crypto::ProofOp| ProofOp {
        r#type: op.r#type,
        key: op.key,
        data: op.data,
    };
    let proof_ops =
        answer.proof_ops.map(|proof| ProofOps { ops: proof.ops.into_iter().map(op).collect() });
    Ok(AbciQueryResponse {
        code: answer.code,
        log: answer.log,
        info: answer.info,
        index: answer.index,
        key: answer.key.into(),
        value: answer.value.into(),
        proof_ops,
        height: answer.height,
        codespace: answer.codespace,
    })
}
