"""What is optimized: functions of one's own, random ones, and the 47 of the VLSE."""
