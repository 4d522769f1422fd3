"""What the parts start as processes of their own: the peers to measure against, and apps that send events."""
