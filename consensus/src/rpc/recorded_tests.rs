//! Hashes and JSON compared with what CometBFT itself made.

use serde_json::{Value, json};
use tendermint_proto::v0_38::types::Block;
use tendermint_rpc::endpoint::block::Response;

use super::json as rpc_json;
use crate::chain::execution::{header_hash, header_of};
use crate::chain::merkle;

/// Block 10 of a chain as a CometBFT 0.38.0-alpha.1 node answered `block`.
fn recorded() -> Value {
    json!(
        {
            "block": {
                "data": {
                    "txs": []
                },
                "evidence": {
                    "evidence": []
                },
                "header": {
                    "app_hash": "0000000000000000",
                    "chain_id": "dockerchain",
                    "consensus_hash": "048091BC7DDC283F77BFBF91D73C44DA58C3DF8A9CBC867405D8B7F3DAADA22F",
                    "data_hash": "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
                    "evidence_hash": "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
                    "height": "10",
                    "last_block_id": {
                        "hash": "678A83FB0422D053A3792154703122861DD68ABB8247A4FF2945DF832DB18FC8",
                        "parts": {
                            "hash": "29FE32F6B57D8439C9E9F6240B436DD560646FDA8C8C105E2C261B6F4746E89C",
                            "total": 1
                        }
                    },
                    "last_commit_hash": "A3AD467820428D99FD53BFCF38CDC1EB141DD27E3B5F0F3931BBE91FBA8B097D",
                    "last_results_hash": "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
                    "next_validators_hash": "33415EFFCEDA5BD0A3A443A727457D9F7B9E38389BF27A936FEDF749A7B7566E",
                    "proposer_address": "2DD9F44FD9067555C322243C3C913BA7B51D2BE0",
                    "time": "2023-05-17T14:12:53.088875124Z",
                    "validators_hash": "33415EFFCEDA5BD0A3A443A727457D9F7B9E38389BF27A936FEDF749A7B7566E",
                    "version": {
                        "app": "1",
                        "block": "11"
                    }
                },
                "last_commit": {
                    "block_id": {
                        "hash": "678A83FB0422D053A3792154703122861DD68ABB8247A4FF2945DF832DB18FC8",
                        "parts": {
                            "hash": "29FE32F6B57D8439C9E9F6240B436DD560646FDA8C8C105E2C261B6F4746E89C",
                            "total": 1
                        }
                    },
                    "height": "9",
                    "round": 0,
                    "signatures": [
                        {
                            "block_id_flag": 2,
                            "signature": "BMy5pB3a9xeEnuBkja/a6GUvP1guZ2lMQtZYvdrl8s0ri1/LaF0JuI9rOsy1biVTv+TDKzlBXTZ5gdgiq0uCAg==",
                            "timestamp": "2023-05-17T14:12:53.088875124Z",
                            "validator_address": "2DD9F44FD9067555C322243C3C913BA7B51D2BE0"
                        }
                    ]
                }
            },
            "block_id": {
                "hash": "00ECDAC463C201ECD4BDBBAAE4A53A4C80291D4051FD69ED97F6420CE1388BFE",
                "parts": {
                    "hash": "FF0A320E696FD233DD4D3CC7CD82FF90F54B8FDBC9C700D9375C95A02782B062",
                    "total": 1
                }
            }
        }
    )
}

#[test]
fn hashes_of_a_block_are_cometbfts() {
    let recorded = recorded();
    let response: Response = serde_json::from_value(recorded.clone()).unwrap();
    let block = Block::from(response.block);
    let header = header_of(&block).unwrap();
    let id = &recorded["block_id"];
    assert_eq!(rpc_json::hash(&header_hash(header).unwrap()), id["hash"]);
    let (parts, _) = merkle::part_set(&block);
    assert_eq!(json!(parts.total), id["parts"]["total"]);
    assert_eq!(rpc_json::hash(&parts.hash), id["parts"]["hash"]);
    let recorded_header = &recorded["block"]["header"];
    let commit = block.last_commit.as_ref().unwrap();
    assert_eq!(rpc_json::hash(&merkle::commit_hash(commit)), recorded_header["last_commit_hash"]);
    assert_eq!(rpc_json::hash(&merkle::results_hash(&[])), recorded_header["last_results_hash"]);
}

#[test]
fn the_json_of_a_block_is_cometbfts() {
    let recorded = recorded();
    let response: Response = serde_json::from_value(recorded.clone()).unwrap();
    assert_eq!(rpc_json::block(&Block::from(response.block)), recorded["block"]);
}
