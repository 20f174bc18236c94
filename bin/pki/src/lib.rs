//! ovs-pki: a small certificate authority.
