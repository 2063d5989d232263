"""A current period against a reference: drift, performance, bias, quality of data."""
