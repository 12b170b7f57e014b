//! Sans-IO codecs between the wire formats of model providers and Doorward's common form.
