print("dqlite")
