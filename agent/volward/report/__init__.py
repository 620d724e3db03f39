"""What volward shows of what it saw: texts and JSON made of frozen records. Changes nothing."""
