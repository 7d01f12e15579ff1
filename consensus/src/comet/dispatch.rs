//! From a request to the application's method, and back to a response.

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    Request, Response, ResponseException, request::Value as Ask, response::Value as Answer,
};

use crate::panic::or_exit;

/// Calls the method of the [`Application`] that a request asks for, and returns its response. A panic of the
/// application ends the process.
pub(crate) fn answer(app: &impl Application, request: Request) -> Response {
    let value = match request.value {
        None => exception("the request is empty".to_owned()),
        Some(Ask::Echo(ask)) => Answer::Echo(or_exit("Echo", || app.echo(ask))),
        Some(Ask::Flush(_)) => Answer::Flush(or_exit("Flush", || app.flush())),
        Some(Ask::Info(ask)) => Answer::Info(or_exit("Info", || app.info(ask))),
        Some(Ask::InitChain(ask)) => {
            Answer::InitChain(or_exit("InitChain", || app.init_chain(ask)))
        }
        Some(Ask::Query(ask)) => Answer::Query(or_exit("Query", || app.query(ask))),
        Some(Ask::CheckTx(ask)) => Answer::CheckTx(or_exit("CheckTx", || app.check_tx(ask))),
        Some(Ask::Commit(_)) => Answer::Commit(or_exit("Commit", || app.commit())),
        Some(Ask::ListSnapshots(_)) => {
            Answer::ListSnapshots(or_exit("ListSnapshots", || app.list_snapshots()))
        }
        Some(Ask::OfferSnapshot(ask)) => {
            Answer::OfferSnapshot(or_exit("OfferSnapshot", || app.offer_snapshot(ask)))
        }
        Some(Ask::LoadSnapshotChunk(ask)) => {
            Answer::LoadSnapshotChunk(or_exit("LoadSnapshotChunk", || app.load_snapshot_chunk(ask)))
        }
        Some(Ask::ApplySnapshotChunk(ask)) => {
            Answer::ApplySnapshotChunk(or_exit("ApplySnapshotChunk", || {
                app.apply_snapshot_chunk(ask)
            }))
        }
        Some(Ask::PrepareProposal(ask)) => {
            Answer::PrepareProposal(or_exit("PrepareProposal", || app.prepare_proposal(ask)))
        }
        Some(Ask::ProcessProposal(ask)) => {
            Answer::ProcessProposal(or_exit("ProcessProposal", || app.process_proposal(ask)))
        }
        Some(Ask::ExtendVote(ask)) => {
            Answer::ExtendVote(or_exit("ExtendVote", || app.extend_vote(ask)))
        }
        Some(Ask::VerifyVoteExtension(ask)) => {
            Answer::VerifyVoteExtension(or_exit("VerifyVoteExtension", || {
                app.verify_vote_extension(ask)
            }))
        }
        Some(Ask::FinalizeBlock(ask)) => {
            Answer::FinalizeBlock(or_exit("FinalizeBlock", || app.finalize_block(ask)))
        }
    };
    Response { value: Some(value) }
}

/// Makes the response after which the connection is closed.
pub(crate) fn exception(error: String) -> Answer {
    Answer::Exception(ResponseException { error })
}
