"""Attribution methods and the stages of SpRAy, one stage or backend a file."""
