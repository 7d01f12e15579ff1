//! Tests that no vat and no transaction stops a chain, and that bounds hold at their last good and first bad value.

mod deposits;
mod hostile_vats;
mod kernel_work;
mod promises;
mod store;
mod system_vat_costs;
mod system_vats;
mod vat_faults;
