"""What operators do: functions behind the commands."""
