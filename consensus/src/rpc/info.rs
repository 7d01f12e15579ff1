//! The methods about the node, the chain's constants and the application.

use serde_json::{Value, json};
use tendermint_proto::v0_38::abci::RequestQuery;

use super::call::Answer;
use super::context::RpcContext;
use super::error::RpcError;
use super::params::Params;
use super::{blocks, json};
use crate::chain::merkle::sha256;
use crate::chain::versions::{BLOCK_PROTOCOL, COMETBFT_VERSION, P2P_PROTOCOL};

/// The size of the pieces of `genesis_chunked`, in bytes, as in CometBFT.
const GENESIS_CHUNK_BYTES: usize = 16 << 20;

pub(crate) fn health(_: &RpcContext, _: &Params) -> Answer {
    Ok(json!({}))
}

pub(crate) fn net_info(_: &RpcContext, _: &Params) -> Answer {
    Ok(json!({"listening": false, "listeners": [], "n_peers": "0", "peers": []}))
}

pub(crate) fn status(node: &RpcContext, _: &Params) -> Answer {
    let head = node.feed.head().height;
    let first = node.store.heights()?.map_or(0, |(first, _)| first);
    let latest = sync_info(node, "latest", head)?;
    let mut sync = sync_info(node, "earliest", if head < first { 0 } else { first })?;
    sync.extend(latest);
    sync.insert("catching_up".to_owned(), false.into());
    let validator = &node.validator;
    Ok(json!({
        "node_info": {
            "protocol_version": {
                "p2p": P2P_PROTOCOL.to_string(),
                "block": BLOCK_PROTOCOL.to_string(),
                "app": node.app_version.to_string(),
            },
            // CometBFT's node id has the same form: 20 bytes of the hash of a key.
            "id": hex::encode(&sha256(&validator.key.public_bytes())[..20]),
            "listen_addr": "tcp://0.0.0.0:0",
            "network": node.genesis.chain_id(),
            "version": COMETBFT_VERSION,
            "channels": "",
            "moniker": "capstan-solo",
            "other": {"tx_index": "on", "rpc_address": node.rpc_addr},
        },
        "sync_info": sync,
        "validator_info": {
            "address": validator.key.address().to_string(),
            "pub_key": public_key(node),
            "voting_power": validator.power.to_string(),
        },
    }))
}

pub(crate) fn genesis(node: &RpcContext, _: &Params) -> Answer {
    let document = genesis_document(node);
    if document.to_string().len() > GENESIS_CHUNK_BYTES {
        let why = "genesis response is large, please use the genesis_chunked API instead";
        return Err(RpcError::internal(why));
    }
    Ok(json!({"genesis": document}))
}

pub(crate) fn genesis_chunked(node: &RpcContext, params: &Params) -> Answer {
    let bytes = genesis_document(node).to_string().into_bytes();
    let chunks: Vec<&[u8]> = bytes.chunks(GENESIS_CHUNK_BYTES).collect();
    let wanted = params.integer("chunk").unwrap_or(0);
    let chunk = usize::try_from(wanted).ok().and_then(|index| chunks.get(index));
    let chunk = chunk.ok_or_else(|| {
        RpcError::internal(format!(
            "there are {} chunks, {wanted} is invalid",
            chunks.len().saturating_sub(1)
        ))
    })?;
    Ok(
        json!({"chunk": wanted.to_string(), "total": chunks.len().to_string(), "data": json::base64(chunk)}),
    )
}

pub(crate) fn consensus_params(node: &RpcContext, params: &Params) -> Answer {
    let height = blocks::height_or_next(node, params)?;
    let found =
        node.store.params(height)?.ok_or_else(|| RpcError::internal("no consensus parameters"))?;
    Ok(
        json!({"block_height": height.to_string(), "consensus_params": json::consensus_params(&found)}),
    )
}

pub(crate) fn abci_info(node: &RpcContext, _: &Params) -> Answer {
    let info = node.app.info();
    Ok(json!({"response": {
        "data": info.data,
        "version": info.version,
        "app_version": info.app_version.to_string(),
        "last_block_height": info.last_block_height.to_string(),
        "last_block_app_hash": json::base64(&info.last_block_app_hash),
    }}))
}

pub(crate) fn abci_query(node: &RpcContext, params: &Params) -> Answer {
    let response = node.app.query(RequestQuery {
        path: params.text("path").to_owned(),
        data: params.bytes("data").to_vec().into(),
        height: params.integer("height").unwrap_or(0),
        prove: params.flag("prove"),
    });
    Ok(json!({"response": json::query_response(&response)}))
}

/// The four fields of `sync_info` about one block, or about none with height 0.
fn sync_info(
    node: &RpcContext,
    which: &str,
    height: i64,
) -> Result<serde_json::Map<String, Value>, RpcError> {
    let meta = node.store.block_meta(height)?.unwrap_or_default();
    let header = meta.header.unwrap_or_default();
    let mut fields = serde_json::Map::new();
    let mut put =
        |name: &str, value: String| fields.insert(format!("{which}_{name}"), value.into());
    put("block_hash", json::hash(&meta.block_id.unwrap_or_default().hash));
    put("app_hash", json::hash(&header.app_hash));
    put("block_height", header.height.to_string());
    // Without a block CometBFT reports the time 0 of Unix.
    put("block_time", json::time(Some(header.time.unwrap_or_default())));
    Ok(fields)
}

/// Returns the genesis document with every field that CometBFT's has, and with the node's own validator.
fn genesis_document(node: &RpcContext) -> Value {
    let genesis = &node.genesis;
    json!({
        "genesis_time": genesis.time.to_rfc3339(),
        "chain_id": genesis.chain_id(),
        "initial_height": genesis.initial_height.to_string(),
        "consensus_params": json::consensus_params(&genesis.params),
        "validators": [{
            "address": node.validator.key.address().to_string(),
            "pub_key": public_key(node),
            "power": node.validator.power.to_string(),
            "name": genesis.document()["validators"][0]["name"].as_str().unwrap_or_default(),
        }],
        "app_hash": json::hash(&genesis.app_hash),
        "app_state": genesis.document()["app_state"],
    })
}

fn public_key(node: &RpcContext) -> Value {
    json!({"type": "tendermint/PubKeyEd25519", "value": json::base64(&node.validator.key.public_bytes())})
}
