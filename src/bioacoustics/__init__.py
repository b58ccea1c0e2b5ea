"""Deep learning on animal sound: pre-train, fine-tune, embed and classify with EAT and BEATs."""

__version__ = "0.1.0"
