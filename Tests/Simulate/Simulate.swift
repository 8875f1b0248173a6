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
    @Flag(help: "Databases are the engine's. Without this and --models, both are played, for as long each.")
    var engine = false
    @Flag(help: "Databases are models.") var models = false
    @Option(help: "Kinds of faults that do not happen, with commas between them.") var without: String?
    @Option(help: "How many clients there are.") var clients: Int?
    @Option(help: "How many seconds faults last.") var duration: Int?
    @Flag(help: "Say what happens.") var trace = false
    @Flag(help: "Say what came of each seed.") var verbose = false

    func validate() throws {
        let kinds = self.without?.split(separator: ",") ?? []
        if let unknown = kinds.first(where: { Plan.Fault(rawValue: String($0)) == nil }) {
            let known = Plan.Fault.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("\(unknown) is no fault; these are: \(known)")
        }
    }

    func run() throws { if self.defects { try self.findDefects() } else { try self.play() } }

    private var reduction: Reduction {
        let faults = self.without?.split(separator: ",").compactMap { Plan.Fault(rawValue: String($0)) } ?? []
        return Reduction(without: faults, clients: self.clients, duration: self.duration)
    }

    /// Whether the checks see what they are for.
    private func findDefects() throws {
        var isComplete = true
        var searches: [(Defect, usesEngine: Bool)] = []
        if !self.engine { searches += Defect.allCases.map { ($0, false) } }
        if !self.models { searches += Defect.ofDatabases.map { ($0, true) } }
        for (defect, usesEngine) in searches {
            let search = DefectSearch(
                defect, from: self.seed ?? 1, seeds: self.seeds ?? 3000, usesEngine: usesEngine)
            let name = "\(defect)" + (usesEngine ? " with the engine" : "")
            if let found = search.found {
                print("\(name): found by seed \(found.seed): \(found.violation ?? "")")
            } else {
                print("NOT FOUND: \(name)")
                isComplete = false
            }
            if let unexpected = search.unexpected {
                print("WITHOUT IT, TOO, in seed \(unexpected.seed): \(unexpected.violation ?? "")")
                isComplete = false
            }
        }
        guard isComplete else { throw ExitCode.failure }
        print("\(searches.count) defects, all found.")
    }

    /// What was played with one kind of databases.
    private struct Score {
        var seeds = 0
        var time = 0
        var duration = Duration.zero
        var slowest = VirtualTime.milliseconds(0)
        var counts: [String: Int] = [:]
    }

    private func play() throws {
        let clock = ContinuousClock()
        let began = clock.now
        let isOne = self.seed != nil && self.seeds == nil && self.seconds == nil
        let limit = self.seeds ?? (isOne ? 1 : self.seconds == nil ? 100 : Int.max)
        var seed = self.seed ?? .random(in: 1...1_000_000_000)
        var played = 0
        var models = Score()
        var engine = Score()
        while played < limit, self.seconds.map({ clock.now - began < .seconds($0) }) ?? true {
            // One seed that somebody asks for means one life.
            let isBoth = !self.models && !self.engine && !isOne
            if !self.engine { try self.play(seed, usesEngine: false, &models) }
            if self.engine || (isBoth && engine.duration <= models.duration) {
                try self.play(seed, usesEngine: true, &engine)
            }
            played += 1
            seed += 1
        }
        for (name, score) in [("models", models), ("the engine", engine)] where score.seeds > 0 {
            let hours = Double(score.time) / 3_600_000_000
            print("With \(name):")
            for (what, count) in score.counts.sorted(by: { $0.key < $1.key }) { print("  \(count) \(what)") }
            print(
                "\(score.seeds) seeds up to \(seed - 1), \((hours * 100).rounded() / 100) simulated hours in "
                    + "\(score.duration / .seconds(1)) s; nothing was found. All was well within \(score.slowest) s.")
        }
    }

    private func play(_ seed: UInt64, usesEngine: Bool, _ score: inout Score) throws {
        let tracer: ((String) -> Void)? = self.trace ? { print($0) } : nil
        var result: Trial.Result?
        score.duration += ContinuousClock().measure {
            var trial = Trial(
                seed: seed, reduction: self.reduction, defect: self.defect, usesEngine: usesEngine, tracer: tracer)
            result = trial.run()
        }
        guard let result else { return }
        if result.violation != nil {
            self.report(result, usesEngine: usesEngine)
            throw ExitCode.failure
        }
        if self.verbose {
            let digest = String(result.digest, radix: 16)
            print(
                "seed \(seed)\(usesEngine ? " with the engine" : ""): \(result.time) s, converged in "
                    + "\(result.convergence) s, digest \(digest)")
        }
        score.seeds += 1
        score.time += result.time.microseconds
        score.slowest = max(score.slowest, result.convergence)
        score.counts.merge(result.counts, uniquingKeysWith: +)
    }

    /// How long it may take to make a failure smaller.
    private static let patience = Duration.seconds(60)

    private func report(_ result: Trial.Result, usesEngine: Bool) {
        print("FOUND in seed \(result.seed) at \(result.time) s: \(result.violation ?? "")")
        for node in result.nodes { print("  \(node)") }
        // Who looks at what happens has the command already.
        if self.trace { return }
        let shrinking = Shrinking(
            result, reduction: self.reduction, defect: self.defect, usesEngine: usesEngine, limit: Self.patience)
        let defect = self.defect.map { " --defect \($0.rawValue)" } ?? ""
        let kind = usesEngine ? " --engine" : " --models"
        print("the least that shows something, at \(shrinking.result.time) s: \(shrinking.result.violation ?? "")")
        print("replay: scripts/simulate --seed \(result.seed)\(kind)\(defect)\(shrinking.reduction.arguments) --trace")
    }
}

extension Defect: ExpressibleByArgument {}
