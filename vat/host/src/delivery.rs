//! One delivery to a running worker: its encoding, its price and its outcome.

use capstan_abi::{Delivery, DeliveryResult, Encoding};
use capstan_kernel_ports::{
    Computrons,
    host::{Delivered, HostFault, Syscalls},
};

use crate::{
    cost,
    worker::supervisor,
    worker::{End, ReplyError, Worker},
};

/// The terms on which a delivery spends computrons.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Price {
    /// Percent of the metered points that count, by the memory that the worker begins with.
    percent: u64,
    /// Points that count whatever the worker does.
    fixed: u64,
}

impl Price {
    fn of(worker: &Worker, delivery: &Delivery) -> Self {
        let percent = match worker.encoding() {
            Encoding::Borsh => 100,
            Encoding::Json => cost::memory_percent(worker.memory().len()),
        };
        let fixed = match (worker.encoding(), delivery) {
            (Encoding::Json, Delivery::BringOutYourDead) => {
                cost::collection_points(worker.memory().len())
            }
            _ => 0,
        };
        Self { percent, fixed }
    }

    /// Returns the points that the worker's meter may spend. It is rounded down, so that what is counted stays within the
    /// limit.
    fn metered(&self, limit: Computrons) -> u64 {
        let limit = limit.0.saturating_mul(cost::POINTS_PER_COMPUTRON).saturating_sub(self.fixed);
        limit / self.percent * 100
    }

    fn counted(&self, points: u64) -> Computrons {
        let points = (points.saturating_mul(self.percent) / 100).saturating_add(self.fixed);
        Computrons(cost::computrons(points))
    }
}

/// A delivery that came to its end.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) delivered: Delivered,
    /// The worker can take another delivery.
    pub(crate) rests: bool,
    price: Price,
    /// Metered points.
    points: u64,
}

impl Ran {
    /// Returns whether the worker did what it was told, and can take another delivery.
    pub(crate) fn is_well(&self) -> bool {
        self.rests && self.delivered.result == DeliveryResult::Ok
    }

    /// Returns whether the delivery would have come to the same end within this limit.
    pub(crate) fn fits(&self, limit: Computrons) -> bool {
        self.rests && self.points <= self.price.metered(limit)
    }
}

/// Hands `delivery` to the worker, and runs it until it is idle or has spent `limit`.
pub(crate) fn run(
    worker: &mut Worker,
    delivery: &Delivery,
    limit: Computrons,
    syscalls: &mut dyn Syscalls,
) -> Result<Ran, HostFault> {
    let input = encode(worker.encoding(), delivery)?;
    let price = Price::of(worker, delivery);
    let run = worker.run(&input, price.metered(limit), Some(syscalls))?;
    let (result, rests) = match run.end {
        End::Done(reply) => match decode(worker.encoding(), &reply) {
            Ok(result) => (result, true),
            Err(problem) => {
                let text = format!("the worker's result could not be read: {problem}");
                (DeliveryResult::Error(text.into()), false)
            }
        },
        End::Fault(fault) => (DeliveryResult::Error(fault.text().into()), false),
        End::Broken(text) => (DeliveryResult::Error(text.into()), false),
    };
    let computrons = rests.then(|| price.counted(run.points));
    let delivered = Delivered { result, computrons, test_log: run.test_log };
    Ok(Ran { delivered, rests, price, points: run.points })
}

fn encode(encoding: Encoding, delivery: &Delivery) -> Result<Vec<u8>, HostFault> {
    match encoding {
        Encoding::Borsh => borsh::to_vec(delivery).map_err(|e| HostFault::Engine(e.to_string())),
        Encoding::Json => Ok(supervisor::write_delivery(delivery)),
    }
}

fn decode(encoding: Encoding, reply: &[u8]) -> Result<DeliveryResult, ReplyError> {
    match encoding {
        Encoding::Borsh => borsh::from_slice(reply).map_err(ReplyError::Borsh),
        Encoding::Json => supervisor::read_delivery_result(reply),
    }
}
