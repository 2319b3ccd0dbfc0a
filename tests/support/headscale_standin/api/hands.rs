//! What a test does with the tables behind the API, as Headscale itself or an administrator's tool would.

use super::super::{Device, HeadscaleStandin, KeyRow, State, User};
use super::{devices, keys};

impl HeadscaleStandin {
    /// Puts a user in.
    pub(crate) fn add_user(&self, user: User) {
        self.shared.change(|state| state.users.push(user));
    }

    /// Puts a device in, and its user where there is none yet; its id.
    pub(crate) fn add_node(&self, device: Device) -> u64 {
        self.shared.change(|state| devices::add(state, device))
    }

    /// The devices in the tailnet, in the order they came.
    pub(crate) fn devices(&self) -> Vec<Device> {
        self.shared.state().devices.clone()
    }

    /// A device, if it is there.
    pub(crate) fn device(&self, id: u64) -> Option<Device> {
        let devices = self.devices();
        devices.into_iter().find(|device| device.id == id)
    }

    /// Changes a device as nobody but Headscale itself could.
    pub(crate) fn change_device(&self, id: u64, change: impl FnOnce(&mut Device)) {
        self.shared.change(|state| {
            let device = state.devices.iter_mut().find(|device| device.id == id);
            change(device.expect("a device with this id"));
        });
    }

    /// This id is of a device that is known: whoever it belongs to keeps it by signing in.
    pub(crate) fn returns(&self, auth_id: &str, device: u64) {
        let id = auth_id.to_owned();
        self.shared
            .change(|state| state.returning.insert(id, device));
    }

    /// The policy in the database.
    pub(crate) fn policy(&self) -> Option<String> {
        self.shared.state().policy.clone()
    }

    /// Puts a policy into the database, as an administrator's tool does.
    pub(crate) fn set_policy(&self, text: &str) {
        self.shared
            .change(|state| state.policy = Some(text.to_owned()));
    }

    /// Puts an API key in, which ends at these Unix seconds; its id.
    pub(crate) fn add_api_key(&self, key: &str, expiration: Option<i64>) -> u64 {
        let key = key.to_owned();
        self.shared
            .change(|state| keys::add(state, key, expiration))
    }

    /// Every API key, those that have ended too.
    pub(crate) fn api_keys(&self) -> Vec<KeyRow> {
        self.shared.state().keys.clone()
    }

    /// The key that this one is, once it has another end than `expiration`; waits for it.
    pub(crate) fn wait_for_new_end(&self, id: u64, expiration: Option<i64>) -> KeyRow {
        let changed = |state: &State| {
            let row = state.keys.iter().find(|row| row.id == id)?;
            (row.expiration != expiration).then(|| row.clone())
        };
        self.shared.wait("a key to end", changed)
    }
}
