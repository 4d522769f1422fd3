"""What the requirement documents' own paths have in common: forms, costs, reports, reading back."""
