//! The mailbox device: numbered messages to and from peers, which someone outside conveys. It behaves
//! as SwingSet's device of that name.
//!
//! Kept under `k.mb`: for each peer the number of the last message from it that was taken
//! (`k.mb.a.PEER`), and what was sent to it and not taken yet (`k.mb.o.PEER.N`), PEER as the hex of its
//! name, N as 16 hex digits. Who conveys can read both with proofs. The handler lies in the device's
//! store.

use std::collections::BTreeMap;

use capstan_kernel_ports::store::Read;

use super::{Answer, CallResult, DeviceError, DeviceFailure, Invocation, ROOT, thrown};
use crate::{
    capdata::{Builder, Json},
    error::{Result, inconsistent},
    limits::MAX_BODY_BYTES,
    state::{handle::State, keys},
};

/// The name of the mailbox device.
pub const MAILBOX: &str = "mailbox";

/// Longest name of a peer, in bytes.
const MAX_PEER_BYTES: usize = 100;
/// Number of hex digits of a message's number in its key.
const POSITION_DIGITS: usize = 16;
/// The largest number that JavaScript's numbers keep apart from the next one: 2^53 - 1.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The mailbox of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The number of the last message from the peer that was taken.
    pub inbound_ack: u64,
    /// Messages to the peer by number.
    pub outbox: BTreeMap<u64, String>,
}

impl State<'_> {
    pub(super) fn call_mailbox(&mut self, call: &Invocation<'_>) -> CallResult {
        if call.node != ROOT {
            return thrown(format!("unknown device node {}", call.node));
        }
        match call.method {
            "registerInboundHandler" => return self.register_inbound(call, "already registered"),
            "unregisterInboundHandler" => return self.unregister_inbound(call),
            "add" => {
                let (peer, number) = (peer(call)?, number(call)?);
                let body = call.text(2, "body")?;
                if body.len() > MAX_BODY_BYTES {
                    return thrown(format!("a message of {} bytes is too long", body.len()));
                }
                self.over.set(&keys::mailbox_message(&peer, number), body.into_bytes());
            }
            "remove" => self.over.delete(&keys::mailbox_message(&peer(call)?, number(call)?)),
            "ackInbound" => {
                let (peer, number) = (peer(call)?, number(call)?);
                self.put(&keys::mailbox_ack(&peer), &number)?;
            }
            "deliverInbound" => {
                let (peer, messages, ack) = (peer(call)?, messages(call)?, nat(call, 2, "ack")?);
                return DeviceError::answer(self.mailbox_inbound(&peer, &messages, ack));
            }
            method => return thrown(format!("target[{method}] does not exist")),
        }
        Ok(Answer::Undefined)
    }

    /// Hands the vat that registered for it what came from a peer: messages by number, and the number
    /// of the last message that the peer has taken.
    pub(crate) fn mailbox_inbound(
        &mut self,
        peer: &str,
        messages: &[(u64, String)],
        ack: u64,
    ) -> std::result::Result<(), DeviceError> {
        let handler = self.inbound_handler(MAILBOX)?;
        let size: usize = messages.iter().map(|(_, body)| body.len()).sum();
        if peer.len() > MAX_PEER_BYTES || size > MAX_BODY_BYTES {
            let limits =
                format!("at most {MAX_PEER_BYTES} bytes of peer, {MAX_BODY_BYTES} of messages");
            return Err(DeviceError::Refused(limits));
        }
        let safe = |number: u64| number <= MAX_SAFE_INTEGER;
        if !safe(ack) || !messages.iter().all(|(number, _)| safe(*number)) {
            return Err(DeviceError::Refused("message numbers are below 2^53".to_owned()));
        }
        if !messages.is_empty() {
            let mut builder = Builder::default();
            let peer = builder.text(peer);
            let pair = |(number, body): &(u64, String)| {
                Json::Array(vec![Json::Scalar(number.to_string()), Builder::default().text(body)])
            };
            let messages = Json::Array(messages.iter().map(pair).collect());
            self.send_only(handler, "deliverInboundMessages", builder, vec![peer, messages])?;
        }
        let mut builder = Builder::default();
        let args = vec![builder.text(peer), Json::Scalar(ack.to_string())];
        Ok(self.send_only(handler, "deliverInboundAck", builder, args)?)
    }
}

/// The first message to a peer whose number is above `after`.
pub(crate) fn message_after(
    from: &(impl Read + ?Sized),
    peer: &str,
    after: u64,
) -> Result<Option<(u64, String)>> {
    let first = keys::mailbox_message(peer, 0);
    let prefix = &first[..first.len() - POSITION_DIGITS];
    let Some((key, value)) = from.next_after(prefix, &keys::mailbox_message(peer, after))? else {
        return Ok(None);
    };
    let digits = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    let number = u64::from_str_radix(&digits, 16)
        .map_err(|_| inconsistent(format!("{digits} is not a message's number")))?;
    Ok(Some((number, String::from_utf8_lossy(&value).into_owned())))
}

/// The mailboxes of all peers.
pub(crate) fn read_mailboxes(from: &(impl Read + ?Sized)) -> Result<BTreeMap<String, Mailbox>> {
    let mut boxes: BTreeMap<String, Mailbox> = BTreeMap::new();
    for (key, value) in from.scan(keys::MAILBOX_ACKS)? {
        let peer = peer_of(&key[keys::MAILBOX_ACKS.len()..])?;
        boxes.entry(peer).or_default().inbound_ack = crate::state::handle::decode(&key, &value)?;
    }
    for (key, value) in from.scan(keys::MAILBOX_MESSAGES)? {
        let text = String::from_utf8_lossy(&key[keys::MAILBOX_MESSAGES.len()..]).into_owned();
        let odd = || inconsistent(format!("{text} is not a message's place"));
        let (peer, number) = text.split_once('.').ok_or_else(odd)?;
        let number = u64::from_str_radix(number, 16).map_err(|_| odd())?;
        let body = String::from_utf8_lossy(&value).into_owned();
        boxes.entry(peer_of(peer.as_bytes())?).or_default().outbox.insert(number, body);
    }
    Ok(boxes)
}

fn peer_of(hex: &[u8]) -> Result<String> {
    let bytes = hex::decode(hex).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or_else(|| inconsistent("a mailbox's peer cannot be read"))
}

fn peer(call: &Invocation<'_>) -> std::result::Result<String, DeviceFailure> {
    let peer = call.text(0, "peer")?;
    match peer.len() <= MAX_PEER_BYTES {
        true => Ok(peer),
        false => thrown(format!("a peer's name has at most {MAX_PEER_BYTES} bytes")),
    }
}

fn number(call: &Invocation<'_>) -> std::result::Result<u64, DeviceFailure> {
    nat(call, 1, "msgnum")
}

fn nat(call: &Invocation<'_>, index: usize, what: &str) -> std::result::Result<u64, DeviceFailure> {
    match u64::try_from(call.nat(index, what)?) {
        Ok(number) if number <= MAX_SAFE_INTEGER => Ok(number),
        _ => thrown("message numbers are below 2^53"),
    }
}

/// The second argument: `[[number, body], …]`.
fn messages(call: &Invocation<'_>) -> std::result::Result<Vec<(u64, String)>, DeviceFailure> {
    let bad = || thrown(format!("{}() messages must be pairs of number and text", call.method));
    let Json::Array(pairs) = call.arg(1)? else { return bad() };
    let mut messages = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        let (number, body) = match pair {
            Json::Array(pair) => match pair.as_slice() {
                [Json::Scalar(number), body] => {
                    (crate::ids::canonical_decimal(number), body.as_unicode())
                }
                _ => return bad(),
            },
            _ => return bad(),
        };
        let (Some(number), Some(body)) = (number, body) else { return bad() };
        messages.push((number, body));
    }
    Ok(messages)
}
