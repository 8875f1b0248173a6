/// Whether what clients saw can be explained, without a look into the cluster.
extension History {
    /// What is wrong; nil: nothing.
    func violation() -> String? { self.registerViolation() ?? self.listViolation() }

    private func listViolation() -> String? {
        var refused: Set<UInt64> = []
        var observations: [ListCheck.Observation] = []
        for operation in self.operations {
            var observation = ListCheck.Observation(
                steps: operation.transaction.steps, start: operation.invoked.microseconds)
            switch operation.outcome {
            case .notCommitted:
                for case .append(_, let element) in operation.transaction.steps { refused.insert(element) }
                continue
            case .unknown where operation.transaction.isReadOnly: continue
            case .unknown: break
            case .committed(let results, _):
                observation.results = results
                observation.end = operation.completed?.microseconds
            }
            observations.append(observation)
        }
        var check = ListCheck(observations, refused: refused)
        return check.violation()
    }

    private func registerViolation() -> String? {
        var checks: [Int: RegisterCheck] = [:]
        for operation in self.operations {
            let start = operation.invoked.microseconds
            // What a transaction wrote and overwrote was never there, and what it wrote itself is no news when it reads it.
            var own: [Int: UInt64] = [:]
            var reads: [(register: Int, value: UInt64)] = []
            switch operation.outcome {
            case .notCommitted: continue
            case .unknown:
                for case .write(let register, let value) in operation.transaction.steps { own[register] = value }
            case .committed(let results, _):
                for (step, result) in zip(operation.transaction.steps, ListCheck.aligned(results)) {
                    switch (step, result) {
                    case (.write(let register, let value), _): own[register] = value
                    case (.readRegister(let register), .register(let value)):
                        if let mine = own[register] {
                            if mine != value { return "a transaction that wrote \(mine) read \(value)" }
                        } else {
                            reads.append((register, value))
                        }
                    default: break
                    }
                }
            }
            for (register, value) in own {
                checks[register, default: RegisterCheck()].write(
                    value, start: start, end: operation.completed?.microseconds)
            }
            for (register, value) in reads {
                guard let end = operation.completed?.microseconds else { continue }
                checks[register, default: RegisterCheck()].read(value, start: start, end: end)
            }
        }
        for (register, check) in checks.sorted(by: { $0.key < $1.key }) {
            if let problem = check.violation() { return "register \(register): \(problem)" }
        }
        return nil
    }
}
