//! Devices whose code the application has. The kernel keeps their data, and translates their references.

use capstan_abi::CapData;

use super::{Answer, CallResult, DeviceError, DeviceFailure, thrown};
use crate::{
    application::{DeviceAnswer, DeviceCall, DeviceSyscalls},
    capdata::KernelData,
    error::{KernelPanic, Result},
    ids::{DeviceId, Endpoint, KRef},
    limits::{MAX_BODY_BYTES, MAX_SLOTS, MAX_VATSTORE_KEY_BYTES},
    state::{handle::State, keys},
};

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
            DeviceAnswer::Returned(data) => match self.data_of_device(device, &data)? {
                Ok(data) => Ok(Answer::Data(data)),
                Err(why) => thrown(why),
            },
            DeviceAnswer::Failed(text) => Err(DeviceFailure::Told(text)),
            DeviceAnswer::Thrown(why) => thrown(why),
        }
    }

    /// Has the application act as its device, without a call.
    pub(crate) fn act_as_device(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut dyn DeviceSyscalls) -> Result<()>,
    ) -> std::result::Result<(), DeviceError> {
        let device: Option<DeviceId> = self.get(&keys::device_name(name))?;
        let Some(device) = device else {
            return Err(DeviceError::Refused(format!("this kernel has no device {name}")));
        };
        Ok(act(&mut Syscalls { state: self, device })?)
    }

    fn data_to_device(&mut self, device: DeviceId, data: &KernelData) -> Result<CapData> {
        let slots = data.slots.iter().map(|kref| self.to_device(device, *kref));
        Ok(CapData { body: data.body.clone(), slots: slots.collect::<Result<_>>()? })
    }

    /// The inner error says what is wrong with the device's data.
    fn data_of_device(
        &mut self,
        device: DeviceId,
        data: &CapData,
    ) -> Result<std::result::Result<KernelData, String>> {
        if data.body.len() > MAX_BODY_BYTES || data.slots.len() > MAX_SLOTS {
            let limit = format!("at most {MAX_BODY_BYTES} bytes and {MAX_SLOTS} references");
            return Ok(Err(format!("a device's data is too large: {limit}")));
        }
        let mut slots = Vec::with_capacity(data.slots.len());
        for vref in &data.slots {
            match self.of_device(device, vref)? {
                Ok(kref) => slots.push(kref),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(CapData { body: data.body.clone(), slots }))
    }

    /// The kernel's reference for one of the device's. A node of its own is exported on demand.
    fn of_device(
        &mut self,
        device: DeviceId,
        vref: &str,
    ) -> Result<std::result::Result<KRef, String>> {
        let own = vref.strip_prefix("d+").and_then(crate::ids::canonical_decimal);
        if let Some(number) = own {
            return Ok(Ok(self.device_export(device, number)?));
        }
        let known = self.clist_kref(Endpoint::Device(device), vref)?;
        Ok(known.ok_or_else(|| format!("unknown reference {vref}")))
    }
}

/// What a device of the application asks of the kernel.
struct Syscalls<'a, 'b> {
    state: &'a mut State<'b>,
    device: DeviceId,
}

impl Syscalls<'_, '_> {
    fn key(&self, key: &str) -> std::result::Result<Vec<u8>, String> {
        match key.len() > MAX_VATSTORE_KEY_BYTES {
            true => Err(format!("vatstore key of {} bytes is too long", key.len())),
            false => Ok(keys::vatstore(Endpoint::Device(self.device), key)),
        }
    }
}

impl DeviceSyscalls for Syscalls<'_, '_> {
    fn send_only(
        &mut self,
        target: &str,
        methargs: &CapData,
    ) -> Result<std::result::Result<(), String>> {
        let target = match self.state.of_device(self.device, target)? {
            Ok(kref @ KRef::Object(_)) => kref,
            Ok(_) => return Ok(Err(format!("{target} is no object"))),
            Err(why) => return Ok(Err(why)),
        };
        Ok(match self.state.data_of_device(self.device, methargs)? {
            Ok(methargs) => Ok(self.state.send_without_result(target, methargs)?),
            Err(why) => Err(why),
        })
    }

    fn vatstore_get(&mut self, key: &str) -> Result<std::result::Result<Option<String>, String>> {
        let key = match self.key(key) {
            Ok(key) => key,
            Err(why) => return Ok(Err(why)),
        };
        let value = self.state.over.get(&key)?.filter(|value| !value.is_empty());
        let text = value.map(String::from_utf8).transpose();
        Ok(Ok(
            text.map_err(|_| KernelPanic::Inconsistent("a device's value is no text".to_owned()))?
        ))
    }

    fn vatstore_set(
        &mut self,
        key: &str,
        value: Option<&str>,
    ) -> Result<std::result::Result<(), String>> {
        let key = match self.key(key) {
            Ok(key) => key,
            Err(why) => return Ok(Err(why)),
        };
        match value {
            Some(value) if value.len() > MAX_BODY_BYTES => {
                return Ok(Err(format!("a value of {} bytes is too long", value.len())));
            }
            Some(value) => self.state.over.set(&key, value.as_bytes().to_vec()),
            None => self.state.over.delete(&key),
        }
        Ok(Ok(()))
    }

    fn to_kernel(&mut self, data: &CapData) -> Result<std::result::Result<KernelData, String>> {
        self.state.data_of_device(self.device, data)
    }

    fn to_device(&mut self, data: &KernelData) -> Result<CapData> {
        self.state.data_to_device(self.device, data)
    }
}
