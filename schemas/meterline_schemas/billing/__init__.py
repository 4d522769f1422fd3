"""What is billed: records of the ``billing.*`` topics, each written once its writer has the turn (``audit.log``)."""
