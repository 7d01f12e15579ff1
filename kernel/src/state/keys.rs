//! The layout of the kernel's keys, all of it.
//!
//! Numbers in keys are decimal where the order does not matter (or must be SwingSet's, which sorts
//! ids as strings) and 16 hex digits where it does. `E` is an endpoint (`v3`, `d7`, `r1`), `K` a
//! kref. Values are borsh of the types named. Keys under `local.` lie outside the root hash: each is
//! bound by a hash in a hashed key or can be rebuilt from hashed keys.
//!
//! ```text
//! k.globals                Globals: next ids, crank number, kernel options, vatAdmin root, crank chain
//! k.q.a.HEX  k.q.r.HEX     RunQueueEvent: acceptance queue and run queue (heads and tails in k.queues)
//! k.queues                 Queues
//! k.res.v                  Recent<ResidentVat>: the vats that blocks count as being in memory
//! k.res.s                  Recent<Source>: the sources that blocks count as being loaded
//! k.reap                   Vec<VatId>: vats due for bringOutYourDead
//! k.dead.HEX               VatId: a terminated vat not yet cleaned up, oldest first
//! k.wait.HEX               KRef: a count that fell to zero between cranks, for the next crank to look at
//! k.ret.K                  an object that is gone whose importers are still to be told: the key of the last one that was
//! k.g.E.TYPE.K             GC action: TYPE is dropExport, retireExport or retireImport; no value
//! k.o.N                    Object: owner, reference counts, whether it was revoked
//! k.p.N                    PromiseRecord
//! k.pd.N                   KernelData: large data that promise N was settled with, which others may share
//! k.pc.N                   u64: the number of promises that have that data, if it is more than one
//! k.ps.N.E                 a subscriber of promise N that its record does not list; no value
//! k.pq.N.HEX               Message: queued on promise N
//! k.d.N                    DeviceId: owner of a device node
//! k.c.E.K                  ClistEntry: reachable flag and vref (rref)
//! k.v.N                    VatConfig: what the vat is
//! k.vp.N                   KernelData: the vat's parameters, unless they are undefined
//! k.w.N                    VatState: what the vat has come to
//! k.vf.N                   FailedUpgrade: the vat's last upgrade, if that failed
//! k.s.vN.KEY               the vat's own store (or a device's: k.s.dN.KEY)
//! k.n.NAME                 VatId of a live static vat
//! k.dn.NAME                DeviceId
//! k.di.N                   ImportIds of a device
//! k.dv.N                   Device: its name and what it does
//! k.sub                    SubclusterId: the default one, once it was launched
//! k.sc.HEX                 Subcluster
//! k.scs                    u64: the number of the next subcluster
//! k.scv.N                  SubclusterId that vat N belongs to
//! k.scn.NAME               SubclusterId of a system subcluster
//! k.io.HEX.NAME            IoState: channel NAME of the subcluster
//! k.ioi.HEX.NAME.HEX       IoLine: input of that channel
//! k.ioo.HEX.NAME.HEX       IoLine: output of that channel
//! k.scp.HEX                (name, SubclusterConfig): a system subcluster that waits for the chain's bootstrap
//! k.mb.a.PEER              u64: the last message taken from a mailbox's peer; PEER is hex
//! k.mb.o.PEER.HEX          a message to a mailbox's peer, as it is
//! k.m.N                    Meter
//! k.mu.N                   MeterUse: the meter's owner, and the number of its vats
//! k.svc.NAME               Service: a kernel service
//! k.svk.N                  String: the name of the service whose object is koN, if the kernel owns that
//! k.pin.K                  pinned objects; no value
//! k.b.ID                   Hash: the blob of a bundle
//! k.bn.NAME                String: id of a named bundle
//! k.r.N                    Remote
//! k.ra.ADDRESS             RemoteId
//! k.ro.rN.HEX              OutboxEntry: a delivery to a remote, and the vats that keep it
//! k.rp.rN.HEX              KRef: a promise of which a remote is told when it has acknowledged what it was told
//!
//! local.k.c.E.VREF         KRef: the other direction of k.c
//! local.k.i.K.E            who imports object K; no value
//! local.k.t.vN.HEX         Entry: transcript, bound by VatState's span hash
//! local.k.h.vN             the heap of the vat's last snapshot, bound by the hash in VatState
//! local.k.hp.HASH          a page of a heap; HASH is raw, and is the page's
//! local.k.hc.HASH          u32: how often heaps hold that page
//! local.k.hx.HEX           Vec<HeapPage>: pages of images that are gone, still to be let go
//! local.k.rr.rN.RREF       u64: outbox entry that settled a promise of a remote
//! local.k.stats            Stats
//! ```

use capstan_kernel_ports::Hash;

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef, MeterId, RemoteId, VatId},
    state::{
        io_name::{Flow, IoName},
        key::{Builder, Key},
    },
};

pub(crate) const GLOBALS: &[u8] = b"k.globals";
pub(crate) const QUEUES: &[u8] = b"k.queues";
pub(crate) const REAP: &[u8] = b"k.reap";
pub(crate) const RESIDENT_VATS: &[u8] = b"k.res.v";
pub(crate) const LOADED_SOURCES: &[u8] = b"k.res.s";
pub(crate) const DEAD: &[u8] = b"k.dead.";
pub(crate) const STATS: &[u8] = b"local.k.stats";
pub(crate) const GC_ACTIONS: &[u8] = b"k.g.";
pub(crate) const OBJECTS: &[u8] = b"k.o.";
pub(crate) const PROMISES: &[u8] = b"k.p.";
pub(crate) const VATSTORES: &[u8] = b"k.s.";
pub(crate) const WAITING_MESSAGES: &[u8] = b"k.pq.";
pub(crate) const VATS: &[u8] = b"k.v.";
pub(crate) const VAT_STATES: &[u8] = b"k.w.";
pub(crate) const FAILED_UPGRADES: &[u8] = b"k.vf.";
pub(crate) const METER_USES: &[u8] = b"k.mu.";
pub(crate) const OUTBOXES: &[u8] = b"k.ro.";
pub(crate) const STATIC_NAMES: &[u8] = b"k.n.";
pub(crate) const DEVICE_NAMES: &[u8] = b"k.dn.";
pub(crate) const BUNDLES: &[u8] = b"k.b.";
pub(crate) const REMOTE_ADDRESSES: &[u8] = b"k.ra.";
pub(crate) const CLISTS: &[u8] = b"k.c.";
pub(crate) const DEFAULT_SUBCLUSTER: &[u8] = b"k.sub";
pub(crate) const SUBCLUSTERS: &[u8] = b"k.sc.";
pub(crate) const NEXT_SUBCLUSTER: &[u8] = b"k.scs";
pub(crate) const SYSTEM_SUBCLUSTERS: &[u8] = b"k.scn.";
pub(crate) const PENDING_SUBCLUSTERS: &[u8] = b"k.scp.";
/// The prefix of all keys of the kernel inside the root hash.
pub(crate) const ALL: &[u8] = b"k.";
pub(crate) const ALL_LOCAL: &[u8] = b"local.k.";
pub(crate) const SERVICES: &[u8] = b"k.svc.";
pub(crate) const MAILBOX_ACKS: &[u8] = b"k.mb.a.";
pub(crate) const MAILBOX_MESSAGES: &[u8] = b"k.mb.o.";

pub(crate) fn acceptance(position: u64) -> Key {
    Builder::new("k.q.a.").hex(position).key()
}

pub(crate) fn run(position: u64) -> Key {
    Builder::new("k.q.r.").hex(position).key()
}

pub(crate) fn dead(position: u64) -> Key {
    Builder::new("k.dead.").hex(position).key()
}

pub(crate) fn waiting(position: u64) -> Key {
    Builder::new("k.wait.").hex(position).key()
}

pub(crate) fn gc_action(endpoint: Endpoint, kind: &str, kref: KRef) -> Key {
    Builder::new("k.g.").endpoint(endpoint).text(".").text(kind).text(".").kref(kref).key()
}

pub(crate) fn object(number: u64) -> Key {
    Builder::new("k.o.").number(number).key()
}

pub(crate) fn promise(number: u64) -> Key {
    Builder::new("k.p.").number(number).key()
}

pub(crate) fn promise_message(number: u64, position: u64) -> Key {
    Builder::new("k.pq.").number(number).text(".").hex(position).key()
}

pub(crate) fn promise_data(number: u64) -> Key {
    Builder::new("k.pd.").number(number).key()
}

pub(crate) fn promise_data_count(number: u64) -> Key {
    Builder::new("k.pc.").number(number).key()
}

pub(crate) fn subscriber(number: u64, endpoint: Endpoint) -> Key {
    Builder::new("k.ps.").number(number).text(".").endpoint(endpoint).key()
}

pub(crate) fn subscribers_of(number: u64) -> Key {
    Builder::new("k.ps.").number(number).text(".").key()
}

pub(crate) fn device_node(number: u64) -> Key {
    Builder::new("k.d.").number(number).key()
}

pub(crate) fn clist(endpoint: Endpoint, kref: KRef) -> Key {
    Builder::new("k.c.").endpoint(endpoint).text(".").kref(kref).key()
}

pub(crate) fn clist_of(endpoint: Endpoint) -> Key {
    Builder::new("k.c.").endpoint(endpoint).text(".").key()
}

pub(crate) fn clist_reverse(endpoint: Endpoint, vref: &str) -> Key {
    Builder::new("local.k.c.").endpoint(endpoint).text(".").text(vref).key()
}

pub(crate) fn importer(kref: KRef, endpoint: Endpoint) -> Key {
    Builder::new("local.k.i.").kref(kref).text(".").endpoint(endpoint).key()
}

pub(crate) fn importers_of(kref: KRef) -> Key {
    Builder::new("local.k.i.").kref(kref).text(".").key()
}

/// The importers of an object that is gone which are still to be told: the key of the last one that was.
pub(crate) fn retiring(kref: KRef) -> Key {
    Builder::new("k.ret.").kref(kref).key()
}

pub(crate) fn vat_config(vat: VatId) -> Key {
    Builder::new("k.v.").number(vat.0).key()
}

pub(crate) fn vat_parameters(vat: VatId) -> Key {
    Builder::new("k.vp.").number(vat.0).key()
}

pub(crate) fn failed_upgrade(vat: VatId) -> Key {
    Builder::new("k.vf.").number(vat.0).key()
}

pub(crate) fn vat_state(vat: VatId) -> Key {
    Builder::new("k.w.").number(vat.0).key()
}

/// A key of an endpoint's own store: the bytes of a string, in WTF-8 if it has lone surrogates.
pub(crate) fn vatstore(endpoint: Endpoint, key: impl AsRef<[u8]>) -> Key {
    Builder::new("k.s.").endpoint(endpoint).text(".").raw(key.as_ref()).key()
}

pub(crate) fn static_name(name: &str) -> Key {
    Builder::new("k.n.").text(name).key()
}

pub(crate) fn device_name(name: &str) -> Key {
    Builder::new("k.dn.").text(name).key()
}

pub(crate) fn subcluster(number: u64) -> Key {
    Builder::new("k.sc.").hex(number).key()
}

pub(crate) fn subcluster_of(vat: VatId) -> Key {
    Builder::new("k.scv.").number(vat.0).key()
}

pub(crate) fn system_subcluster(name: &str) -> Key {
    Builder::new("k.scn.").text(name).key()
}

pub(crate) fn pending_subcluster(position: u64) -> Key {
    Builder::new("k.scp.").hex(position).key()
}

pub(crate) fn io_channel(name: &IoName) -> Key {
    Builder::new("k.io.").hex(name.subcluster.0).text(".").text(&name.channel).key()
}

pub(crate) fn io_line(name: &IoName, flow: Flow, number: u64) -> Key {
    let flow = match flow {
        Flow::Input => "ioi",
        Flow::Output => "ioo",
    };
    Builder::new("k.")
        .text(flow)
        .text(".")
        .hex(name.subcluster.0)
        .text(".")
        .text(&name.channel)
        .text(".")
        .hex(number)
        .key()
}

pub(crate) fn meter_use(meter: MeterId) -> Key {
    Builder::new("k.mu.").number(meter.0).key()
}

pub(crate) fn meter(meter: MeterId) -> Key {
    Builder::new("k.m.").number(meter.0).key()
}

pub(crate) fn pin(kref: KRef) -> Key {
    Builder::new("k.pin.").kref(kref).key()
}

pub(crate) fn service(name: &str) -> Key {
    Builder::new("k.svc.").text(name).key()
}

pub(crate) fn service_object(number: u64) -> Key {
    Builder::new("k.svk.").number(number).key()
}

pub(crate) fn bundle(id: &str) -> Key {
    Builder::new("k.b.").text(id).key()
}

pub(crate) fn bundle_name(name: &str) -> Key {
    Builder::new("k.bn.").text(name).key()
}

pub(crate) fn remote(remote: RemoteId) -> Key {
    Builder::new("k.r.").number(remote.0).key()
}

pub(crate) fn remote_address(address: &str) -> Key {
    Builder::new("k.ra.").text(address).key()
}

pub(crate) fn outbox(remote: RemoteId, sequence: u64) -> Key {
    Builder::new("k.ro.").id("r", remote.0).text(".").hex(sequence).key()
}

pub(crate) fn outbox_of(remote: RemoteId) -> Key {
    Builder::new("k.ro.").id("r", remote.0).text(".").key()
}

pub(crate) fn put_off(remote: RemoteId, number: u64) -> Key {
    Builder::new("k.rp.").id("r", remote.0).text(".").hex(number).key()
}

pub(crate) fn settled(remote: RemoteId, rref: &str) -> Key {
    Builder::new("local.k.rr.").id("r", remote.0).text(".").text(rref).key()
}

pub(crate) fn transcript(vat: VatId, position: u64) -> Key {
    Builder::new("local.k.t.").id("v", vat.0).text(".").hex(position).key()
}

pub(crate) fn transcript_of(vat: VatId) -> Key {
    Builder::new("local.k.t.").id("v", vat.0).text(".").key()
}

/// Returns the vat and the position of a transcript entry. Returns `None` for any other key.
pub(crate) fn parse_transcript(key: &[u8]) -> Option<(VatId, u64)> {
    let rest = std::str::from_utf8(key.strip_prefix(b"local.k.t.")?).ok()?;
    let (vat, position) = rest.split_once('.')?;
    let Some(Endpoint::Vat(vat)) = Endpoint::parse(vat) else { return None };
    Some((vat, u64::from_str_radix(position, 16).ok()?))
}

/// Returns the endpoint and the kref of a c-list's key. `name` is the key without [`CLISTS`].
pub(crate) fn parse_clist(name: &[u8]) -> Result<(Endpoint, KRef)> {
    let name = String::from_utf8_lossy(name);
    let parsed = name
        .split_once('.')
        .and_then(|(endpoint, kref)| Some((Endpoint::parse(endpoint)?, KRef::parse(kref)?)));
    parsed.ok_or_else(|| inconsistent(format!("{name} is no c-list entry")))
}

/// Returns the remote and the number of an outbox entry's key. `name` is the key without [`OUTBOXES`].
pub(crate) fn parse_outbox(name: &[u8]) -> Result<(RemoteId, u64)> {
    let name = String::from_utf8_lossy(name);
    let parsed = name.split_once('.').and_then(|(remote, number)| {
        let Some(Endpoint::Remote(remote)) = Endpoint::parse(remote) else { return None };
        Some((remote, u64::from_str_radix(number, 16).ok()?))
    });
    parsed.ok_or_else(|| inconsistent(format!("{name} is no outbox entry")))
}

pub(crate) const DROPPED_HEAPS: &[u8] = b"local.k.hx.";
pub(crate) const HEAP_PAGE_COUNTS: &[u8] = b"local.k.hc.";

pub(crate) fn heap(vat: VatId) -> Key {
    Builder::new("local.k.h.").id("v", vat.0).key()
}

pub(crate) fn heap_page(hash: &Hash) -> Key {
    Builder::new("local.k.hp.").raw(&hash.0).key()
}

pub(crate) fn heap_page_count(hash: &Hash) -> Key {
    Builder::new("local.k.hc.").raw(&hash.0).key()
}

pub(crate) fn dropped_heap(number: u64) -> Key {
    Builder::new("local.k.hx.").hex(number).key()
}

pub(crate) fn device_imports(device: crate::ids::DeviceId) -> Key {
    Builder::new("k.di.").number(device.0).key()
}

pub(crate) fn device(device: crate::ids::DeviceId) -> Key {
    Builder::new("k.dv.").number(device.0).key()
}

pub(crate) fn mailbox_ack(peer: &str) -> Key {
    Builder::new("k.mb.a.").text(&hex::encode(peer)).key()
}

pub(crate) fn mailbox_message(peer: &str, number: u64) -> Key {
    Builder::new("k.mb.o.").text(&hex::encode(peer)).text(".").hex(number).key()
}
