"""The plain smooth problems that people bring first, which all are sums of squared residuals."""
