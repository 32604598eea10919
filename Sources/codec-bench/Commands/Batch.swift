// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// A file to read and the file to write.
struct FileJob {
  let input: String
  let output: String
}

/// Inputs and outputs of encode and decode: `IN OUT`, `IN -o OUT`, or `IN… --output-dir DIR`.
enum Batch {
  static let output = OptionSpec("output", short: "o", value: "OUT", "instead of the second operand")

  /// What the operands and --output or --output-dir ask for, nothing read or written yet. `ending` is that of outputs in a
  /// folder.
  static func jobs(
    _ arguments: Arguments, of command: any Command.Type, ending: String
  ) throws(ToolError) -> [FileJob] {
    let operands = arguments.operands
    try arguments.atMostOne(of: ["output", "output-dir"])
    var jobs: [FileJob] = []
    if let folder = arguments.string("output-dir") {
      guard isFolder(folder) else { throw .inputOutput(file: folder, "no such folder") }
      var owners: [String: String] = [:]
      for input in operands {
        guard input != "-" else { throw .usage("standard input has no name that a file in a folder could have") }
        let name = input.split(separator: "/").last.map(String.init) ?? input
        let stem = name.lastIndex(of: ".").map { $0 == name.startIndex ? name : String(name[..<$0]) } ?? name
        let output = "\(folder)/\(stem)\(ending)"
        if let other = owners.updateValue(input, forKey: output) {
          throw .usage("\(printable(other)) and \(printable(input)) would both become \(printable(output))")
        }
        jobs.append(FileJob(input: input, output: output))
      }
    } else if let output = arguments.string("output") {
      guard operands.count == 1 else { throw .usage("one input with --output; several with --output-dir") }
      jobs = [FileJob(input: operands[0], output: output)]
    } else {
      guard operands.count == 2 else {
        throw .usage(
          "expected \(command.name) \(command.operands): a second file, --output or --output-dir says where to write to"
        )
      }
      jobs = [FileJob(input: operands[0], output: operands[1])]
    }
    for job in jobs {
      for input in operands.prefix(jobs.count) where isSameFile(input, job.output) {
        throw .usage("\(printable(job.output)): the output would replace the input")
      }
      try checkTarget(job.output)
    }
    return jobs
  }

  /// Does all jobs, several at a time, each with its part of the threads. `start` makes what a worker needs; `work` gives the
  /// line about the result. One that fails does not stop the others.
  static func run<Worker>(
    _ jobs: [FileJob], _ execution: Execution, quiet: Bool, start: (Execution) -> Worker,
    work: (inout Worker, FileJob) throws(ToolError) -> String
  ) throws(ToolError) {
    if jobs.count == 1 {
      var worker = start(execution)
      let line = try work(&worker, jobs[0])
      Progress.clear()
      if quiet { return }
      if isStandardOutput(jobs[0].output) { return printError(line) }
      return try printOutput(line + "\n")
    }
    let workers = min(execution.threads, jobs.count)
    let inner = execution.inside(parallel: workers)
    let lock = Lock()
    var next = 0
    var done = 0
    var failures: [(index: Int, code: Int32)] = []
    parallel(threads: workers, count: workers) { _ in
      var worker = start(inner)
      while let index = lock.with({ () -> Int? in
        defer { next += 1 }
        return next < jobs.count ? next : nil
      }) {
        do throws(ToolError) {
          let line = try work(&worker, jobs[index])
          Progress.clear()
          if !quiet { try printOutput(line + "\n") }
        } catch {
          printError("\(CodecBench.name): \(error.message)")
          lock.with { failures.append((index, error.exitCode)) }
        }
        let count = lock.with { () -> Int in
          done += 1
          return done
        }
        if !quiet { Progress.show("\(count) of \(jobs.count)", done: Double(count) / Double(jobs.count)) }
      }
    }
    Progress.clear()
    if let first = failures.min(by: { $0.index < $1.index }) {
      throw .several(failed: failures.count, of: jobs.count, code: first.code)
    }
  }
}
