//! OpenFlow 1.0-1.5 and Nicira extensions: codec and text.
