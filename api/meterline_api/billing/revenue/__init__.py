"""What was invoiced by month, tenant and metric; and what base fees bring in each month."""
