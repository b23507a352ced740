"""The attacks of attacks.py, a module a class. Each is the honest request, file or caller but for the one thing that is attacked."""
