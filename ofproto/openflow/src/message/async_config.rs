//! Which asynchronous messages a controller gets: the masks of reasons by role, in all their wire forms.
//!
//! Source: OpenFlow 1.3.5 section 7.3.10, 1.4.0 section 7.3.10, Nicira's NXT_SET_ASYNC_CONFIG and its second form.

/// Kinds of asynchronous messages that can be chosen, in the order of printing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum AsyncKind {
    PacketIn = 0,
    PortStatus = 1,
    FlowRemoved = 2,
    RoleStatus = 3,
    TableStatus = 4,
    RequestForward = 5,
}

impl AsyncKind {
    /// All, in order.
    pub const ALL: [AsyncKind; 6] = [
        AsyncKind::PacketIn,
        AsyncKind::PortStatus,
        AsyncKind::FlowRemoved,
        AsyncKind::RoleStatus,
        AsyncKind::TableStatus,
        AsyncKind::RequestForward,
    ];
}

/// For each [`AsyncKind`] (as index) the reasons wanted, bit n = reason number n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct AsyncConfig {
    /// As master (primary) or with the equal role.
    pub primary: [u32; 6],
    /// As slave (secondary).
    pub secondary: [u32; 6],
}

/// A request to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsync {
    /// Wire form.
    pub form: AsyncForm,
    /// New masks by kind; `None` leaves a mask as it is.
    pub primary: [Option<u32>; 6],
    /// As slave (secondary).
    pub secondary: [Option<u32>; 6],
}

/// Wire form of [`SetAsync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsyncForm {
    /// OFPT_SET_ASYNC.
    Standard,
    /// NXT_SET_ASYNC_CONFIG.
    Nicira,
    /// NXT_SET_ASYNC_CONFIG2.
    Nicira2,
}

impl AsyncConfig {
    /// What a controller gets before it chooses: as a service with the default role (OpenFlow 1.3.5 section 6.3.3).
    pub fn defaults() -> AsyncConfig {
        let mut config = AsyncConfig::default();
        config.primary = [0b11, 0b111, 0b1111, 0, 0, 0];
        config.secondary = [0, 0b111, 0, 0, 0, 0];
        config
    }

    /// Takes over what `set` chooses.
    pub fn apply(&mut self, set: &SetAsync) {
        for i in 0..6 {
            self.primary[i] = set.primary[i].unwrap_or(self.primary[i]);
            self.secondary[i] = set.secondary[i].unwrap_or(self.secondary[i]);
        }
    }
}
