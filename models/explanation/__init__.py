"""Why a model judged a sample as it did: contributions, Shapley values, LIME, importances."""
