/// Plays lives with a planted defect until one of them shows it.
package struct DefectSearch {
    /// What was found; nil: nothing in so many seeds.
    package let found: Trial.Result?
    /// What is found in the same life without the defect, which must be nothing.
    package let unexpected: Trial.Result?

    /// - Parameter usesEngine: Whether databases are the engine's.
    package init(_ defect: Defect, from seed: UInt64 = 1, seeds: Int, usesEngine: Bool = false) {
        var found: Trial.Result?
        for seed in seed..<seed + UInt64(seeds) where found == nil {
            var trial = Trial(seed: seed, defect: defect, usesEngine: usesEngine)
            let result = trial.run()
            if result.violation != nil { found = result }
        }
        self.found = found
        guard let found else {
            self.unexpected = nil
            return
        }
        var plan = Trial.plan(seed: found.seed, defect: defect, usesEngine: usesEngine)
        plan.duration = min(found.time, plan.duration)
        var sound = Trial(seed: found.seed, plan: plan)
        let result = sound.run()
        self.unexpected = result.violation == nil ? nil : result
    }
}
