//! `capstan query chain-info`: what wallets need to know to add the chain.

use anyhow::{Context as _, bail};
use capstan_client::{ADDRESS_PREFIX, COIN_TYPE, Client, DENOM, GasPrice};
use cosmrs::proto::cosmos::bank::v1beta1::{
    Metadata, QueryDenomMetadataRequest, QueryDenomMetadataResponse,
};
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::keys::PREFIXES;
use crate::output::tell;

/// Path of the query for the names of the coin.
const METADATA: &str = "/cosmos.bank.v1beta1.Query/DenomMetadata";

/// Port of REST beside the usual port of the RPC.
const REST_PORT: u16 = 1317;
/// The usual port of the RPC, as it ends an address.
const USUAL_RPC_PORT: &str = ":26657";

/// Arguments of `capstan query chain-info`.
#[derive(clap::Args, Debug)]
pub(super) struct ChainInfo {
    /// Name of the chain for people [default: its id].
    #[arg(long, value_name = "NAME")]
    chain_name: Option<String>,
    /// URL of the RPC as wallets reach it [default: that of --node].
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
    /// URL of REST as wallets reach it [default: port 1317 beside the RPC].
    #[arg(long, value_name = "URL")]
    rest: Option<String>,
}

impl ChainInfo {
    /// Returns the JSON that Keplr and Leap take.
    pub(super) fn value(self, client: &Client) -> anyhow::Result<Value> {
        let chain_id = client.status()?.chain_id;
        let currency = currency(&metadata(client)?)?;
        let mut fee_currency = currency.clone();
        fee_currency["gasPriceStep"] = steps(client.params()?.fees.gas_price)?;
        if self.rest.is_none() && !client.addr().ends_with(USUAL_RPC_PORT) {
            tell(
                "warning",
                "The address of REST is a guess: the node prints its port when it starts. To give it: --rest URL",
            );
        }
        let host = client.addr().rsplit_once(':').map_or(client.addr(), |(host, _)| host);
        let prefixes: Map<String, Value> = PREFIXES
            .into_iter()
            .map(|(name, suffix)| (name.to_owned(), format!("{ADDRESS_PREFIX}{suffix}").into()))
            .collect();
        Ok(json!({
            "chainId": chain_id,
            "chainName": self.chain_name.unwrap_or_else(|| chain_id.clone()),
            "rpc": self.rpc.unwrap_or_else(|| format!("http://{}", client.addr())),
            "rest": self.rest.unwrap_or_else(|| format!("http://{host}:{REST_PORT}")),
            "bip44": {"coinType": COIN_TYPE},
            "bech32Config": prefixes,
            "currencies": [currency],
            "feeCurrencies": [fee_currency],
            "features": [],
        }))
    }
}

fn metadata(client: &Client) -> anyhow::Result<Metadata> {
    let request = QueryDenomMetadataRequest { denom: DENOM.to_owned() };
    let answer = client.abci_query(METADATA, &request.encode_to_vec(), 0, false)?;
    let answer = QueryDenomMetadataResponse::decode(answer.value.as_slice());
    let answer = answer.with_context(|| format!("the answer to {METADATA} cannot be decoded"))?;
    answer.metadata.with_context(|| format!("the chain says nothing about {DENOM}"))
}

/// Returns the coin as wallets show it.
fn currency(metadata: &Metadata) -> anyhow::Result<Value> {
    let mut units = metadata.denom_units.iter();
    let Some(unit) = units.find(|unit| unit.denom == metadata.display) else {
        bail!("the chain has no unit {:?} of its coin", metadata.display);
    };
    Ok(json!({
        "coinDenom": metadata.symbol,
        "coinMinimalDenom": metadata.base,
        "coinDecimals": unit.exponent,
    }))
}

/// Returns the prices that a wallet offers: the chain's lowest, and a fifth and as much again above it.
fn steps(price: GasPrice) -> anyhow::Result<Value> {
    let millionths = price.fee(1_000_000).0;
    let number = |millionths: u128| {
        let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
        format!("{whole}.{rest:06}").parse::<f64>()
    };
    let average = millionths.saturating_mul(6).div_ceil(5);
    Ok(json!({
        "low": number(millionths)?,
        "average": number(average)?,
        "high": number(millionths.saturating_mul(2))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_begin_at_the_lowest_price() {
        for (price, low, average, high) in
            [("1", 1.0, 1.2, 2.0), ("0.025", 0.025, 0.03, 0.05), ("0", 0.0, 0.0, 0.0)]
        {
            let expected = json!({"low": low, "average": average, "high": high});
            assert_eq!(steps(price.parse().unwrap()).unwrap(), expected);
        }
    }
}
