import ArgumentParser
import DqliteSimulation

/// Plays clusters from seeds.
@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract:
            "Plays whole clusters from seeds, with everything that can go wrong, and checks what must always hold.")

    @Option(help: "How many seeds to play.") var seeds: Int?
    @Option(help: "Which seed to play, or to begin with.") var seed: UInt64?
    @Option(help: "Play seeds for so many seconds.") var seconds: Int?
    @Option(help: "A defect to plant.") var defect: Defect?
    @Flag(
        help: "Plant every defect, and play until it is found: at most so many seeds for each as --seeds says, or 3000."
    )
    var defects = false
    @Flag(help: "Say what happens.") var trace = false
    @Flag(help: "Say what came of each seed.") var verbose = false

    func run() throws { if self.defects { try self.findDefects() } else { try self.play() } }

    /// Whether the checks see what they are for.
    private func findDefects() throws {
        var isComplete = true
        for defect in Defect.allCases {
            let search = DefectSearch(defect, from: self.seed ?? 1, seeds: self.seeds ?? 3000)
            if let found = search.found {
                print("\(defect): found by seed \(found.seed): \(found.violation ?? "")")
            } else {
                print("NOT FOUND: \(defect)")
                isComplete = false
            }
            if let unexpected = search.unexpected {
                print("WITHOUT IT, TOO, in seed \(unexpected.seed): \(unexpected.violation ?? "")")
                isComplete = false
            }
        }
        guard isComplete else { throw ExitCode.failure }
        print("\(Defect.allCases.count) defects, all found.")
    }

    private func play() throws {
        let clock = ContinuousClock()
        let began = clock.now
        let isOne = self.seed != nil && self.seeds == nil && self.seconds == nil
        let limit = self.seeds ?? (isOne ? 1 : self.seconds == nil ? 100 : Int.max)
        var seed = self.seed ?? .random(in: 1...1_000_000_000)
        var played = 0
        var time = 0
        var counts: [String: Int] = [:]
        var slowest = VirtualTime.milliseconds(0)
        while played < limit, self.seconds.map({ clock.now - began < .seconds($0) }) ?? true {
            let tracer: ((String) -> Void)? = self.trace ? { print($0) } : nil
            var trial = Trial(seed: seed, defect: self.defect, tracer: tracer)
            let result = trial.run()
            if let violation = result.violation {
                print("FOUND in seed \(seed) at \(result.time) s: \(violation)")
                for node in result.nodes { print("  \(node)") }
                let defect = self.defect.map { " --defect \($0.rawValue)" } ?? ""
                print("replay: scripts/simulate --seed \(seed)\(defect) --trace")
                throw ExitCode.failure
            }
            if self.verbose {
                let digest = String(result.digest, radix: 16)
                print("seed \(seed): \(result.time) s, converged in \(result.convergence) s, digest \(digest)")
            }
            played += 1
            time += result.time.microseconds
            slowest = max(slowest, result.convergence)
            counts.merge(result.counts, uniquingKeysWith: +)
            seed += 1
        }
        let hours = Double(time) / 3_600_000_000
        for (what, count) in counts.sorted(by: { $0.key < $1.key }) { print("  \(count) \(what)") }
        print(
            "\(played) seeds up to \(seed - 1), \((hours * 100).rounded() / 100) simulated hours in "
                + "\((clock.now - began) / .seconds(1)) s; nothing was found. All was well within \(slowest) s.")
    }
}

extension Defect: ExpressibleByArgument {}
