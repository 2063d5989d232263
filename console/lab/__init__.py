"""The lab: data sets, models trained on labels, charts, rooms."""
