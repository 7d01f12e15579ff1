//! The options of transactions that the Cosmos SDK's tools have too, under the same names.

use std::str::FromStr;

use capstan_client::{FeeRule, GasLimit, GasPrice, Terms};

use super::values::coins;
use crate::failure::{flag, usage};

/// Options on the terms of a transaction, and on what is done with it.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Options {
    /// Gas limit: a number, or auto for what the transaction needs [default: auto].
    #[arg(long, global = true, value_name = "GAS", help_heading = HEADING)]
    gas: Option<Gas>,
    /// Factor for the gas limit of `--gas auto`, 1 to 100 [default: 1].
    #[arg(long, global = true, value_name = "FACTOR", help_heading = HEADING)]
    gas_adjustment: Option<f64>,
    /// Fee, such as 2000ucap. Without it and --gas-prices, it is the gas limit at the chain's price.
    #[arg(long, global = true, value_name = "AMOUNT", conflicts_with = "gas_prices", help_heading = HEADING)]
    fees: Option<String>,
    /// Price of gas, such as 1.5ucap. The fee is the gas limit at this price.
    #[arg(long, global = true, value_name = "PRICE", help_heading = HEADING)]
    gas_prices: Option<String>,
    /// Memo of the transaction.
    #[arg(long, global = true, value_name = "TEXT", help_heading = HEADING)]
    note: Option<String>,
    /// Last height at which the transaction is valid.
    #[arg(long, global = true, value_name = "HEIGHT", help_heading = HEADING)]
    timeout_height: Option<u32>,
    /// Print the transaction as JSON, not signed, and do not send it. --from may be an address.
    #[arg(long, global = true, help_heading = HEADING)]
    pub(super) generate_only: bool,
    /// Print the gas limit and the fee, and do not send the transaction.
    #[arg(long, global = true, conflicts_with_all = ["generate_only", "offline"], help_heading = HEADING)]
    pub(super) dry_run: bool,
    /// Ask no node. With --generate-only, and for `sign`, `multisign` and `validate-signatures`.
    #[arg(long, global = true, help_heading = HEADING)]
    pub(super) offline: bool,
}

const HEADING: &str = "Transaction options";

/// The value of `--gas`.
#[derive(Clone, Copy, Debug)]
enum Gas {
    Auto,
    Fixed(u64),
}

impl FromStr for Gas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            number => {
                number.parse().map(Self::Fixed).map_err(|_| "expected auto or a number".to_owned())
            }
        }
    }
}

impl Options {
    /// Returns the terms of a transaction.
    ///
    /// # Errors
    /// An option is no price, amount or factor.
    pub(super) fn terms(&self) -> anyhow::Result<Terms> {
        let gas = match (self.gas, self.gas_adjustment) {
            (Some(Gas::Fixed(_)), Some(_)) => {
                return Err(usage("--gas-adjustment has an effect on --gas auto only"));
            }
            (Some(Gas::Fixed(gas)), None) => GasLimit::Fixed(gas),
            (_, None) => GasLimit::default(),
            (_, Some(factor)) if (1.0..=100.0).contains(&factor) => GasLimit::Auto(factor),
            (_, Some(factor)) => {
                return Err(usage(format!("--gas-adjustment is {factor}; expected 1 to 100")));
            }
        };
        let fee = match (&self.fees, &self.gas_prices) {
            (Some(text), _) => {
                FeeRule::Amount(coins(text).map_err(|error| error.context(flag("--fees", text)))?)
            }
            (_, Some(text)) => FeeRule::Price(price(text)?),
            _ => FeeRule::Lowest,
        };
        let memo = self.note.clone().unwrap_or_default();
        Ok(Terms { gas, fee, memo, timeout_height: self.timeout_height.unwrap_or(0) })
    }

    /// Checks that no option was given that has no effect on a transaction in a file, which has its terms already.
    ///
    /// # Errors
    /// One was given.
    pub(super) fn refuse_terms(&self, command: &str, may_be_offline: bool) -> anyhow::Result<()> {
        let given = [
            ("--gas", self.gas.is_some()),
            ("--gas-adjustment", self.gas_adjustment.is_some()),
            ("--fees", self.fees.is_some()),
            ("--gas-prices", self.gas_prices.is_some()),
            ("--note", self.note.is_some()),
            ("--timeout-height", self.timeout_height.is_some()),
            ("--generate-only", self.generate_only),
            ("--dry-run", self.dry_run),
            ("--offline", self.offline && !may_be_offline),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(usage(format!(
                "{name} has no effect on `tx {command}`: the transaction is made already"
            ))),
            None => Ok(()),
        }
    }
}

/// Parses a price: `1.5ucap` or `1.5`.
fn price(text: &str) -> anyhow::Result<GasPrice> {
    let number = text.strip_suffix(capstan_client::DENOM).unwrap_or(text);
    number.parse().map_err(|error| usage(format!("--gas-prices: {error}")))
}

#[cfg(test)]
mod tests {
    use capstan_client::Amount;
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn terms(args: &str) -> anyhow::Result<Terms> {
        let args = format!("command {args}");
        Command::try_parse_from(args.split_whitespace())?.options.terms()
    }

    #[test]
    fn terms_are_those_of_the_options() {
        assert_eq!(terms("").unwrap(), Terms::default());
        let all = terms("--gas 900 --gas-prices 0.5ucap --note hi --timeout-height 7").unwrap();
        let price = FeeRule::Price("0.5".parse().unwrap());
        let (gas, memo) = (GasLimit::Fixed(900), "hi".to_owned());
        assert_eq!(all, Terms { gas, fee: price, memo, timeout_height: 7 });
        let auto = terms("--gas auto --gas-adjustment 1.5 --fees 70ucap").unwrap();
        assert_eq!((auto.gas, auto.fee), (GasLimit::Auto(1.5), FeeRule::Amount(Amount(70))));
        for bad in [
            "--gas many",
            "--gas 7 --gas-adjustment 2",
            "--gas-adjustment 0.5",
            "--gas-adjustment NaN",
            "--fees 1uatom",
            "--gas-prices 1uatom",
            "--fees 1 --gas-prices 1",
            "--dry-run --offline",
        ] {
            assert!(terms(bad).is_err(), "{bad}");
        }
    }
}
