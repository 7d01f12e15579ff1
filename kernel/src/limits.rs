//! The kernel's bounds on data that crosses it and on the records that it writes for a crank.
//!
//! No record of a crank comes near the store's own limits ([`MAX_KEY_BYTES`], [`MAX_VALUE_BYTES`]). So a
//! block that was executed can always be committed. The limits of the smallcaps grammar are in
//! [`capstan_passable::limits`].

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{DeliveryResult, JsString};
use capstan_kernel_ports::store::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use capstan_passable::Shape;

use crate::{
    capdata::{self, KernelData},
    ids::KRef,
};

/// Upper bound of the body of one capdata, in bytes. It is the limit of liveslots, too.
pub const MAX_BODY_BYTES: usize = 10_000_000;
/// Upper bound of the slots of one capdata. It is the limit of liveslots, too.
pub const MAX_SLOTS: usize = 10_000;
/// Upper bound of a vatstore key, in bytes, without the kernel's prefix.
pub const MAX_VATSTORE_KEY_BYTES: usize = 65_536;
/// Upper bound of the syscalls and their results in one delivery, in bytes, so that a transcript entry can hold them.
/// Each counts [`SYSCALL_OVERHEAD_BYTES`] extra, and each reference in a message [`REFERENCE_BYTES`].
pub const MAX_DELIVERY_BYTES: usize = 64 << 20;
/// Bytes that each syscall counts in addition to its texts, towards [`MAX_DELIVERY_BYTES`].
pub const SYSCALL_OVERHEAD_BYTES: usize = 64;
/// Bytes that a reference in a message counts in addition to its text, towards [`MAX_DELIVERY_BYTES`]. A new
/// one makes up to three records, which the crank's computrons do not bound.
pub const REFERENCE_BYTES: usize = 1_024;
/// Upper bound of the settled data in one notification, in bytes, in addition to the primary promise's own.
pub const MAX_NOTIFY_BYTES: usize = MAX_BODY_BYTES;
/// Upper bound of the references in the settled data of one notification, in addition to the primary promise's own.
pub const MAX_NOTIFY_SLOTS: usize = MAX_SLOTS;
/// Upper bound of the promises whose data one notification carries. Further promises that it mentions are reported as
/// short rejections.
pub const MAX_NOTIFY_PROMISES: usize = 1_000;
/// Upper bound of the references that one crank lets go of because a count fell to zero, and again of those that were left
/// to it. The rest follows in further cranks. The last one that a crank looks at may exceed it by [`MAX_SLOTS`].
pub const MAX_FREED: usize = 10_000;
/// Upper bound of the references in one delivery of garbage collection. The rest follows in further deliveries.
pub const MAX_GC_KREFS: usize = 1_000;
/// Upper bound of the outbox entries that one acknowledgement removes.
pub const MAX_ACKNOWLEDGED: u64 = 10_000;
/// Upper bound of the calls in an account's outbox that the account has not acknowledged. A further call is rejected.
pub const MAX_CALLS: u64 = 5_000;
/// Upper bound of the bytes of those calls, from which on a further call is rejected. A reference counts
/// [`CALL_SLOT_BYTES`].
pub const MAX_CALL_BYTES: u64 = 32 << 20;
/// Upper bound of the calls that an account has not answered, from which on a further call is rejected.
pub const MAX_UNANSWERED: u64 = 10_000;
/// Upper bound of the promises in the arguments of one call to an account, each of which it is notified of later.
pub const MAX_CALL_PROMISES: usize = 100;
/// Upper bound of the bytes of notifications in an account's outbox that the account has not acknowledged, from which on
/// further ones are put off until it has.
pub const MAX_TOLD_BYTES: u64 = 32 << 20;
/// Bytes that a reference, and a settled promise, counts towards [`MAX_CALL_BYTES`] and [`MAX_TOLD_BYTES`].
pub const CALL_SLOT_BYTES: u64 = 64;
/// Upper bound of texts from vats that the kernel stores, delivers or reports, in bytes: error texts, exit reasons,
/// upgrade messages. Longer texts are truncated.
pub const MAX_TEXT_BYTES: usize = 2_048;
/// Upper bound of the body of exit information that is kept unchanged, in bytes: see [`Ending`](crate::vat::Ending).
pub const MAX_ENDING_BYTES: usize = 16_384;
/// Upper bound of the slots of exit information that is kept unchanged.
pub const MAX_ENDING_SLOTS: usize = 16;
/// Upper bound of the nesting depth of exit information that is kept unchanged.
pub const MAX_ENDING_DEPTH: u64 = 16;
/// Upper bound of the values in exit information that is kept unchanged.
pub const MAX_ENDING_NODES: u64 = 1_000;
/// Upper bound of a dynamic vat's name, and of its manager type, in bytes. Each delivery reads them with the vat's
/// configuration.
pub const MAX_LABEL_BYTES: usize = 1_024;
/// Upper bound of the values in the arguments of one device call.
pub const MAX_DEVICE_NODES: usize = 65_536;
/// Upper bound of the lines in one direction of an io channel that nobody has read.
pub const MAX_IO_LINES: u64 = 128;
/// Upper bound of the bytes of those lines.
pub const MAX_IO_BYTES: u64 = 256 << 10;
/// Upper bound of one line of an io channel, in bytes.
pub const MAX_IO_LINE_BYTES: usize = 64 << 10;
/// Upper bound of the reads of an io channel that wait for input.
pub const MAX_IO_READS: usize = 32;

/// Upper bound of the prefix of a kernel key, in bytes. `k.s.`, an endpoint and a dot are shorter.
const MAX_PREFIX_BYTES: usize = 64;

// The largest records are a transcript entry (a delivery and all its syscalls), an outbox entry (a delivery), a
// vatstore value, and a promise or queued message with its data. A slot's name in a vat or remote takes less than 128
// bytes. A promise that is reported as a short rejection takes less than 512.
const MAX_CAPDATA_BYTES: usize = MAX_BODY_BYTES + 128 * MAX_SLOTS;
const MAX_NOTIFICATION_BYTES: usize = MAX_CAPDATA_BYTES
    + MAX_NOTIFY_BYTES
    + 512 * (MAX_SLOTS + MAX_NOTIFY_SLOTS + MAX_NOTIFY_PROMISES);
const _: () = assert!(MAX_VATSTORE_KEY_BYTES + MAX_PREFIX_BYTES <= MAX_KEY_BYTES);
const _: () = assert!(MAX_NOTIFICATION_BYTES + MAX_DELIVERY_BYTES < MAX_VALUE_BYTES / 4);

/// Guard of the system vats: limits of one delivery to them, and prices for the senders that cause their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SystemGuard {
    /// Upper bound of a body, in bytes, and never above [`MAX_BODY_BYTES`].
    pub max_bytes: u64,
    /// Upper bound of the nesting depth, as [`Shape::depth`] counts it: `[method, args]` are two levels.
    pub max_depth: u64,
    /// Upper bound of the values, as [`Shape::nodes`] counts them.
    pub max_nodes: u64,
    /// Upper bound of the references, and never above [`MAX_SLOTS`].
    pub max_slots: u64,
    /// Computrons that the sender's meter pays for each message to a system vat.
    pub message_price: u64,
    /// Computrons that the sender's meter pays for each byte of the body.
    pub byte_price: u64,
    /// Computrons that the sender's meter pays for each reference.
    pub slot_price: u64,
    /// Computrons that the receiver's meter pays for a message from a system vat, besides its delivery.
    pub wake_price: u64,
}

impl SystemGuard {
    /// Guard without limits and prices, for kernels without a chain.
    pub const NONE: Self = Self {
        max_bytes: u64::MAX,
        max_depth: u64::MAX,
        max_nodes: u64::MAX,
        max_slots: u64::MAX,
        message_price: 0,
        byte_price: 0,
        slot_price: 0,
        wake_price: 0,
    };

    /// Returns the reason why `data` is too large for a system vat, or `None` if it is not.
    pub(crate) fn refusal(&self, data: &KernelData) -> Option<String> {
        let has_promises = data.slots.iter().any(|slot| matches!(slot, KRef::Promise(_)));
        self.refusal_of_size(data.body.len(), has_promises)
            .or_else(|| self.excess(SYSTEM_VAT, data))
    }

    /// Returns the reason why data is too large for a system vat, as far as its length and its kinds of references
    /// tell.
    pub(crate) fn refusal_of_size(&self, bytes: usize, has_promises: bool) -> Option<String> {
        // Whatever waits for a promise stays in the vat's heap until the promise is settled.
        if has_promises {
            return Some(format!("{SYSTEM_VAT} takes no promises"));
        }
        let bytes = bytes as u64;
        (bytes > self.max_bytes).then(|| too_many(SYSTEM_VAT, bytes, self.max_bytes, "bytes"))
    }

    /// Returns the reason why `data` is too large for a service of the kernel, or `None` if it is not. A service keeps
    /// no heap, so promises are no burden for it.
    pub(crate) fn service_refusal(&self, data: &KernelData) -> Option<String> {
        self.excess("a kernel service", data)
    }

    fn excess(&self, who: &str, data: &KernelData) -> Option<String> {
        let Shape { depth, nodes } = Shape::measure(&data.body);
        let measures = [
            (data.body.len() as u64, self.max_bytes, "bytes"),
            (depth, self.max_depth, "levels of nesting"),
            (nodes, self.max_nodes, "values"),
            (data.slots.len() as u64, self.max_slots, "references"),
        ];
        if let Some((found, limit, what)) = measures.into_iter().find(|(found, max, _)| found > max)
        {
            return Some(too_many(who, found, limit, what));
        }
        // A vat writes a reference's interface name again with all that it stores and sends.
        let name = longest_reference(&data.body);
        if name > MAX_REFERENCE_BYTES {
            return Some(format!(
                "{who} takes references with names of at most {MAX_REFERENCE_BYTES} bytes, not {name}"
            ));
        }
        unsound(data).map(|problem| format!("{who} takes smallcaps alone: {problem}"))
    }

    /// Returns the computrons that a message with these arguments costs its sender.
    pub(crate) fn price(&self, methargs: &KernelData) -> u64 {
        let bytes = self.byte_price.saturating_mul(methargs.body.len() as u64);
        let slots = self.slot_price.saturating_mul(methargs.slots.len() as u64);
        self.message_price.saturating_add(bytes).saturating_add(slots)
    }
}

/// The receiver in the reasons of refusals.
const SYSTEM_VAT: &str = "a vat of the system";

fn too_many(who: &str, found: u64, limit: u64, what: &str) -> String {
    format!("{who} takes at most {limit} {what}, not {found}")
}

/// Maximum length of a reference in a message to a system vat, in bytes: index and interface name as they stand in
/// the body.
const MAX_REFERENCE_BYTES: usize = 128;

/// Returns the length of the longest JSON text in `body` that is a reference in smallcaps.
fn longest_reference(body: &str) -> usize {
    let mut longest = 0;
    let mut rest = body;
    while let Some((_, after)) = rest.split_once('"') {
        let mut is_escaped = false;
        let end = after.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let text = &after[..end.unwrap_or(after.len())];
        // The first character may be written as an escape.
        if ["$", "&", "\\u0024", "\\u0026"].iter().any(|sigil| text.starts_with(sigil)) {
            longest = longest.max(text.len());
        }
        rest = after.get(text.len() + 1..).unwrap_or_default();
    }
    longest
}

/// Returns the reason why `data` is not smallcaps over its slots, or `None` if it is. Otherwise a vat's decoder would
/// fail.
pub(crate) fn unsound(data: &KernelData) -> Option<String> {
    if !data.body.starts_with('#') {
        return Some("the body does not begin with #".to_owned());
    }
    capstan_passable::check(data).err().map(|malformed| cut_text(malformed.to_string()))
}

/// Truncates a text without lone surrogates to [`MAX_TEXT_BYTES`].
fn cut_text(text: String) -> String {
    cut(text.into()).to_string()
}

/// Truncates a vat's text to [`MAX_TEXT_BYTES`], and marks that at its end.
pub(crate) fn cut(text: JsString) -> JsString {
    cut_to(MAX_TEXT_BYTES, text)
}

/// Truncates a text to `limit` bytes, and marks that at its end.
pub(crate) fn cut_to(limit: usize, text: JsString) -> JsString {
    if text.len() <= limit {
        return text;
    }
    let mut short = text.prefix(limit);
    short.push_str(&format!("... (cut: {} bytes)", text.len()));
    short
}

/// Truncates the error text of a failed delivery.
pub(crate) fn cut_result(result: DeliveryResult) -> DeliveryResult {
    match result {
        DeliveryResult::Error(text) => DeliveryResult::Error(cut(text)),
        DeliveryResult::Ok => DeliveryResult::Ok,
    }
}

/// Shortens a vat's exit information if it exceeds the limits: an error or string to its text, other data to a
/// remark.
pub(crate) fn cut_ending(info: KernelData) -> KernelData {
    let shape = Shape::measure(&info.body);
    let fits = info.body.len() <= MAX_ENDING_BYTES
        && info.slots.len() <= MAX_ENDING_SLOTS
        && shape.depth <= MAX_ENDING_DEPTH
        && shape.nodes <= MAX_ENDING_NODES;
    if fits && unsound(&info).is_none() {
        return info;
    }
    let text = capdata::leading_text(&info.body).map(cut);
    let left_out = || format!("exit information of {} bytes was left out", info.body.len()).into();
    capdata::error(text.unwrap_or_else(left_out))
}

#[cfg(test)]
mod tests {
    use capstan_abi::CapData;

    use super::*;

    fn data(body: String) -> KernelData {
        CapData { body, slots: vec![] }
    }

    #[test]
    fn what_is_at_a_limit_passes_and_one_more_is_refused_by_name() {
        let limits = SystemGuard {
            max_bytes: 12,
            max_depth: 2,
            max_nodes: 4,
            max_slots: 1,
            ..SystemGuard::NONE
        };
        let slots = |n: usize| CapData { body: "#[]".to_owned(), slots: vec![KRef::Object(1); n] };
        assert_eq!(limits.refusal(&data("#[\"m\",[1]]  ".to_owned())), None);
        assert_eq!(limits.refusal(&slots(1)), None);
        let refused = [
            (data("#[\"m\",[1]]   ".to_owned()), "at most 12 bytes"),
            (data("#[[[]]]".to_owned()), "at most 2 levels of nesting"),
            (data("#[1,2,3,4]".to_owned()), "at most 4 values"),
            (slots(2), "at most 1 references"),
        ];
        for (data, words) in refused {
            let refusal = limits.refusal(&data).unwrap();
            assert!(refusal.contains(words), "{refusal}");
        }
    }

    #[test]
    fn prices_are_capped_and_never_wrap() {
        let guard =
            SystemGuard { message_price: 5, byte_price: 2, slot_price: 7, ..SystemGuard::NONE };
        let one = CapData { body: "#[]".to_owned(), slots: vec![KRef::Object(1)] };
        assert_eq!(guard.price(&one), 5 + 6 + 7);
        let dear = SystemGuard { byte_price: u64::MAX, ..guard };
        assert_eq!(dear.price(&one), u64::MAX);
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        assert_eq!(cut("a".repeat(MAX_TEXT_BYTES).into()).len(), MAX_TEXT_BYTES);
        let long = cut(format!("a{}", "é".repeat(MAX_TEXT_BYTES)).into()).to_string();
        assert!(long.ends_with("... (cut: 4097 bytes)"), "{long}");
        assert!(long.starts_with('a') && long.len() < MAX_TEXT_BYTES + 40);
    }

    #[test]
    fn endings_keep_what_they_say_within_their_limit() {
        let short = data(r##"#{"a":1}"##.to_owned());
        assert_eq!(cut_ending(short.clone()), short);
        let exact = data(format!("#\"{}\"", "a".repeat(MAX_ENDING_BYTES - 3)));
        assert_eq!(cut_ending(exact.clone()), exact);
        for body in [
            format!("#\"{}\"", "a".repeat(MAX_ENDING_BYTES - 2)),
            format!(r##"#{{"#error":"{}","name":"Error"}}"##, "a".repeat(100_000)),
            format!(r##"#"\u0001{}""##, "\\u0001".repeat(100_000)),
        ] {
            let cut = cut_ending(data(body));
            assert!(cut.body.len() <= MAX_ENDING_BYTES, "{}", cut.body.len());
            assert!(cut.body.contains("(cut: "), "{}", cut.body);
        }
        let wide = cut_ending(data(format!("#[{}1]", "1,".repeat(3_000_000))));
        assert!(
            wide.body.contains("exit information of 6000004 bytes was left out"),
            "{}",
            wide.body
        );
        for depth in [MAX_ENDING_DEPTH as usize + 1, 5_000] {
            let deep = cut_ending(data(format!("#{}{}", "[".repeat(depth), "]".repeat(depth))));
            assert!(deep.body.contains("was left out"), "{}", deep.body);
        }
    }
}
