//! The operations that Kafka's access control knows, as far as tailburn needs them.

use rdkafka::bindings::rd_kafka_AclOperation_t as Native;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    DescribeConfigs,
}

impl Operation {
    /// The name that Kafka's own tools use.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Read => "Read",
            Operation::Write => "Write",
            Operation::Create => "Create",
            Operation::Delete => "Delete",
            Operation::Alter => "Alter",
            Operation::DescribeConfigs => "DescribeConfigs",
        }
    }

    /// As a set of one. librdkafka numbers the operations.
    pub const fn bit(self) -> u32 {
        let native = match self {
            Operation::Read => Native::RD_KAFKA_ACL_OPERATION_READ,
            Operation::Write => Native::RD_KAFKA_ACL_OPERATION_WRITE,
            Operation::Create => Native::RD_KAFKA_ACL_OPERATION_CREATE,
            Operation::Delete => Native::RD_KAFKA_ACL_OPERATION_DELETE,
            Operation::Alter => Native::RD_KAFKA_ACL_OPERATION_ALTER,
            Operation::DescribeConfigs => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        };
        1 << native as u32
    }

    /// Whether a principal with this right may also describe the resource.
    pub const fn implies_describe(self) -> bool {
        matches!(self, Operation::Read | Operation::Write | Operation::Delete | Operation::Alter)
    }
}

/// The operations that the brokers allow us on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(Option<u32>);

impl Operations {
    /// Old brokers, and some that only speak Kafka's protocol, do not say what is allowed.
    pub const UNKNOWN: Operations = Operations(None);

    /// From librdkafka's numbers.
    pub fn of(numbers: impl Iterator<Item = u32>) -> Operations {
        Operations(Some(numbers.filter(|number| *number < 32).fold(0, |all, number| all | 1 << number)))
    }

    pub fn allow(self, operation: Operation) -> bool {
        self.0.is_none_or(|all| all & operation.bit() != 0)
    }
}
