//! Devices whose code the application has. The kernel keeps their data, and translates their references.

use capstan_abi::CapData;

use super::{Answer, CallResult, DeviceFailure, thrown};
use crate::{
    application::{DeviceAnswer, DeviceCall, DeviceSyscalls},
    capdata::KernelData,
    error::{DeviceError, KernelPanic, Result},
    ids::{DeviceId, Endpoint, KRef},
    limits::{MAX_BODY_BYTES, MAX_SLOTS, MAX_VATSTORE_KEY_BYTES},
    state::{handle::State, key::Key, keys},
};

/// The result of what a device asks for.
type Checked<T> = std::result::Result<T, DeviceError>;

impl State<'_> {
    /// Has the application answer a call of its device.
    pub(super) fn call_outside_device(
        &mut self,
        device: DeviceId,
        name: &str,
        node: &str,
        method: &str,
        args: &KernelData,
    ) -> CallResult {
        let args = self.data_to_device(device, args)?;
        let Some(application) = self.application.take() else {
            return thrown("no application answers for this device");
        };
        let call = DeviceCall { device: name, node, method, args: &args };
        let mut syscalls = Syscalls { state: self, device };
        let answer = application.call_device(&mut syscalls, &call);
        self.application = Some(application);
        match answer? {
            DeviceAnswer::Returned(data) => match self.data_of_device(device, &data) {
                Ok(data) => Ok(Answer::Data(data)),
                Err(DeviceError::Panic(panic)) => Err(DeviceFailure::Panic(panic)),
                Err(refusal) => thrown(refusal.to_string()),
            },
            DeviceAnswer::Failed(text) => Err(DeviceFailure::Told(text)),
            DeviceAnswer::Thrown(why) => thrown(why),
        }
    }

    /// Has the application act as its device, without a call.
    pub(crate) fn act_as_device(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut dyn DeviceSyscalls) -> Checked<()>,
    ) -> Checked<()> {
        let device: Option<DeviceId> = self.get(&keys::device_name(name))?;
        let Some(device) = device else {
            return refused(format!("this kernel has no device {name}"));
        };
        act(&mut Syscalls { state: self, device })
    }

    fn data_to_device(&mut self, device: DeviceId, data: &KernelData) -> Result<CapData> {
        let slots = data.slots.iter().map(|kref| self.to_device(device, *kref));
        Ok(CapData { body: data.body.clone(), slots: slots.collect::<Result<_>>()? })
    }

    /// Translates the device's data. Refuses what is too large, and references that the device does not have.
    fn data_of_device(&mut self, device: DeviceId, data: &CapData) -> Checked<KernelData> {
        if data.body.len() > MAX_BODY_BYTES || data.slots.len() > MAX_SLOTS {
            let limit = format!("at most {MAX_BODY_BYTES} bytes and {MAX_SLOTS} references");
            return refused(format!("a device's data is too large: {limit}"));
        }
        let slots = data.slots.iter().map(|vref| self.of_device(device, vref));
        Ok(CapData { body: data.body.clone(), slots: slots.collect::<Checked<_>>()? })
    }

    /// Returns the kernel's reference for one of the device's. A node of its own is exported on demand.
    fn of_device(&mut self, device: DeviceId, vref: &str) -> Checked<KRef> {
        let own = vref.strip_prefix("d+").and_then(crate::ids::canonical_decimal);
        if let Some(number) = own {
            return Ok(self.device_export(device, number)?);
        }
        let known = self.clist_kref(Endpoint::Device(device), vref)?;
        known.ok_or_else(|| DeviceError::Refused(format!("unknown reference {vref}")))
    }
}

/// The kernel, as one device of the application sees it.
struct Syscalls<'a, 'b> {
    state: &'a mut State<'b>,
    device: DeviceId,
}

impl Syscalls<'_, '_> {
    fn key(&self, key: &str) -> Checked<Key> {
        match key.len() > MAX_VATSTORE_KEY_BYTES {
            true => refused(format!("vatstore key of {} bytes is too long", key.len())),
            false => Ok(keys::vatstore(Endpoint::Device(self.device), key)),
        }
    }
}

impl DeviceSyscalls for Syscalls<'_, '_> {
    fn send_only(&mut self, target: &str, methargs: &CapData) -> Checked<()> {
        let KRef::Object(object) = self.state.of_device(self.device, target)? else {
            return refused(format!("{target} is no object"));
        };
        let methargs = self.state.data_of_device(self.device, methargs)?;
        Ok(self.state.send_without_result(KRef::Object(object), methargs)?)
    }

    fn vatstore_get(&mut self, key: &str) -> Checked<Option<String>> {
        let key = self.key(key)?;
        let value = self.state.over.get(&key).map_err(KernelPanic::from)?;
        let text = value.filter(|value| !value.is_empty()).map(String::from_utf8).transpose();
        let no_text = |_| KernelPanic::Inconsistent("a device's value is no text".to_owned());
        Ok(text.map_err(no_text)?)
    }

    fn vatstore_set(&mut self, key: &str, value: Option<&str>) -> Checked<()> {
        let key = self.key(key)?;
        match value {
            Some(value) if value.len() > MAX_BODY_BYTES => {
                return refused(format!("a value of {} bytes is too long", value.len()));
            }
            Some(value) => self.state.over.set(&key, value.as_bytes().to_vec()),
            None => self.state.over.delete(&key),
        }
        Ok(())
    }

    fn to_kernel(&mut self, data: &CapData) -> Checked<KernelData> {
        self.state.data_of_device(self.device, data)
    }

    fn to_device(&mut self, data: &KernelData) -> Result<CapData> {
        self.state.data_to_device(self.device, data)
    }
}

fn refused<T>(why: String) -> Checked<T> {
    Err(DeviceError::Refused(why))
}
