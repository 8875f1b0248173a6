import TestSupport

/// Ports that nobody listens on. Below those that the system gives to clients: a node that is killed has to find its own free.
enum FreePorts {
    static func find(_ count: Int) -> [Int] {
        var found: [Int] = []
        while found.count < count {
            let port = Int.random(in: 20_000..<32_000)
            if !found.contains(port), (try? LoopbackPort(port)) != nil { found.append(port) }
        }
        return found
    }
}
