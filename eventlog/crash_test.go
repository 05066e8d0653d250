package eventlog

func child() bool { return false }
