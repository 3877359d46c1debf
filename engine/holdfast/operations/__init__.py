"""What a person asks for, one verb a module; joins repository, policy and fs."""
