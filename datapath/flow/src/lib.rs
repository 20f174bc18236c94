//! Flow keys, masks, fields, extraction, classifier, datapath actions and upcalls.
