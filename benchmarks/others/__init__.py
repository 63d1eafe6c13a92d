"""Problem sets of others: COCO's BBOB, the GKLS classes, and ZeroShotOpt's choice of VLSE's functions."""
