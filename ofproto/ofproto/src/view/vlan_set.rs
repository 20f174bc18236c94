//! A set of VLAN identifiers.

/// VLAN identifiers 0 to 4095.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VlanSet(Option<Box<[u64; 64]>>);

impl VlanSet {
    /// The set of these; numbers above 4095 are left out.
    pub fn of(vlans: impl IntoIterator<Item = u16>) -> VlanSet {
        let mut set = VlanSet::default();
        for vlan in vlans.into_iter().filter(|v| *v < 4096) {
            set.0.get_or_insert_with(|| Box::new([0; 64]))[usize::from(vlan / 64)] |= 1 << (vlan % 64);
        }
        set
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it has this one.
    pub fn contains(&self, vlan: u16) -> bool {
        self.0.as_ref().is_some_and(|w| vlan < 4096 && w[usize::from(vlan / 64)] >> (vlan % 64) & 1 == 1)
    }
}
