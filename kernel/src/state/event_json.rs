//! Events in the JSON of SwingSet's slog.

use capstan_abi::json::capdata_to_json;
use serde_json::{Value, json};

use crate::state::event::RunQueueEvent;

/// Returns a [`RunQueueEvent`] as SwingSet's slog writes it.
pub fn event_to_json(event: &RunQueueEvent) -> Value {
    match event {
        RunQueueEvent::Send { target, message, .. } => {
            let mut msg = json!({"methargs": capdata_to_json(&message.methargs)});
            if let Some(result) = message.result {
                msg["result"] = Value::String(result.to_string());
            }
            json!({"type": "send", "target": target.to_string(), "msg": msg})
        }
        RunQueueEvent::Notify { endpoint, promise } => {
            json!({"type": "notify", "vatID": endpoint.to_string(), "kpid": promise.to_string()})
        }
        RunQueueEvent::Waited { promise, next, end } => {
            json!({"type": "waited", "kpid": promise.to_string(), "count": end - next})
        }
        RunQueueEvent::Subscribers { promise } => {
            json!({"type": "subscribers", "kpid": promise.to_string()})
        }
        RunQueueEvent::CreateVat { vat, bundle_id, parameters, options } => json!({
            "type": "create-vat",
            "vatID": vat.to_string(),
            "source": {"bundleID": bundle_id},
            "vatParameters": capdata_to_json(parameters),
            "dynamicOptions": options.to_json(),
        }),
        RunQueueEvent::StartVat { vat, parameters } => json!({
            "type": "startVat",
            "vatID": vat.to_string(),
            "vatParameters": capdata_to_json(parameters),
        }),
        RunQueueEvent::UpgradeVat { vat, upgrade, bundle_id, parameters, upgrade_message } => {
            let mut json = json!({
                "type": "upgrade-vat",
                "vatID": vat.to_string(),
                "upgradeID": format!("up{upgrade}"),
                "bundleID": bundle_id,
                "upgradeMessage": upgrade_message.legible(),
            });
            if let Some(parameters) = parameters {
                json["vatParameters"] = capdata_to_json(parameters);
            }
            json
        }
        RunQueueEvent::ChangeVatOptions { vat, options_json } => json!({
            "type": "changeVatOptions",
            "vatID": vat.to_string(),
            "options": serde_json::from_str::<Value>(options_json).unwrap_or(Value::Null),
        }),
        RunQueueEvent::CollectGarbage { kind, endpoint, krefs } => json!({
            "type": kind.name(),
            "vatID": endpoint.to_string(),
            "krefs": krefs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        RunQueueEvent::NegatedGcAction => json!({"type": "negated-gc-action"}),
        RunQueueEvent::BringOutYourDead { vat } => {
            json!({"type": "bringOutYourDead", "vatID": vat.to_string()})
        }
        RunQueueEvent::CleanupTerminatedVat { vat, budget } => json!({
            "type": "cleanup-terminated-vat",
            "vatID": vat.to_string(),
            "budget": budget.to_json(),
        }),
    }
}
