"""hosted-engine-ha under the module names that existing callers import."""
